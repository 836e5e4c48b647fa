package interop

import (
	"sync"
	"testing"
)

// untilExit is a test whose servers outlive it: their clean-up waits for the
// end of the package.
type untilExit struct{ testing.TB }

var atExit struct {
	sync.Mutex
	f []func()
}

func (untilExit) Cleanup(f func()) {
	atExit.Lock()
	defer atExit.Unlock()
	atExit.f = append(atExit.f, f)
}

// Failed is false, because by then the test's log is closed; whoever uses the
// server shows its log himself.
func (untilExit) Failed() bool { return false }

func endShared() {
	atExit.Lock()
	defer atExit.Unlock()
	for i := len(atExit.f) - 1; i >= 0; i-- {
		atExit.f[i]()
	}
}

// shared makes of a start function one that starts at the first call and
// returns the same server to all. It is no sync.Once, because a start that
// skips or fails its test must do so to the next one as well.
func shared[S interface{ logOnFailure(testing.TB) }](start func(testing.TB) S) func(testing.TB) S {
	var mu sync.Mutex
	var started bool
	var s S
	return func(t testing.TB) S {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !started {
			s = start(untilExit{t})
			started = true
		}
		s.logOnFailure(t)
		return s
	}
}

// The shared servers: started once, with default options.
var (
	sharedDovecot   = shared(func(t testing.TB) *dovecot { return startDovecot(t, dovecotOptions{}) })
	sharedPostfix   = shared(func(t testing.TB) *postfix { return startPostfix(t, postfixOptions{Mail: sharedDovecot(t)}) })
	sharedSlapd     = shared(func(t testing.TB) *slapd { return startSlapd(t, slapdOptions{}) })
	sharedProsody   = shared(func(t testing.TB) *prosody { return startProsody(t, prosodyOptions{}) })
	sharedProFTPD   = shared(func(t testing.TB) *proftpd { return startProFTPD(t, proftpdOptions{}) })
	sharedINN       = shared(func(t testing.TB) *inn { return startINN(t, innOptions{}) })
	sharedInspIRCd  = shared(func(t testing.TB) *inspircd { return startInspIRCd(t, inspircdOptions{}) })
	sharedPostgres  = shared(func(t testing.TB) *postgresql { return startPostgreSQL(t, postgresqlOptions{}) })
	sharedCUPS      = shared(startCUPS)
	sharedNATS      = shared(startNATS)
	sharedNBDKit    = shared(startNBDKit)
	sharedTigerVNC  = shared(startTigerVNC)
	sharedXRDP      = shared(startXRDP)
	sharedMariaDB   = shared(func(t testing.TB) *mariadb { return startMariaDB(t, mariadbOptions{}) })
	sharedExim      = shared(startExim)
	sharedCyrus     = shared(startCyrus)
	sharedVsftpd    = shared(startVsftpd)
	sharedPureFTPd  = shared(startPureFTPd)
	sharedPgBouncer = shared(startPgBouncer)
	sharedQemuNBD   = shared(startQemuNBD)
	sharedUpsd      = shared(startUpsd)
	sharedShishi    = shared(startShishi)
	sharedKermit    = shared(startKermit)
)
