package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Command is a client that is a program. Its words may hold {host}, {port},
// {addr}, {user}, {password}, {ca}, {protocol} and {case}, for which it is given
// what is so in each case; {ca} is the file of the root to trust.
type Command struct {
	Argv    []string
	Dir     string        // where logs go; it must exist
	Timeout time.Duration // of one run; 0: 20 s

	once sync.Once
	ca   string
	err  error
}

// Run is a Client. What the program prints goes to a file in Dir, named after
// protocol and case.
func (c *Command) Run(ctx context.Context, call Call) Ended {
	c.once.Do(func() {
		c.ca = filepath.Join(c.Dir, "root.pem")
		c.err = os.WriteFile(c.ca, call.RootPEM, 0o644)
	})
	if c.err != nil {
		return Ended{How: c.err.Error()}
	}
	return c.Exec(ctx, call.Protocol.Info().Name+"-"+call.Case, call.Case, call.filler(c.ca))
}

// Exec runs the program once, its words filled in by fill, and knowing the case
// id by its environment. What it prints goes to the file name.log in Dir.
func (c *Command) Exec(ctx context.Context, name, id string, fill *strings.Replacer) Ended {
	log, err := os.OpenFile(filepath.Join(c.Dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return Ended{How: err.Error()}
	}
	defer log.Close()
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	argv := make([]string, len(c.Argv))
	for i, a := range c.Argv {
		argv[i] = fill.Replace(a)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "STARTTLS_LAB_CASE="+id)
	endWhole(cmd)
	err = cmd.Run()
	how := "exit 0"
	var status *exec.ExitError
	switch {
	case ctx.Err() != nil:
		how = "no end within " + timeout.String()
	case errors.As(err, &status):
		how = status.Error()
	case err != nil:
		how = err.Error()
	}
	return Ended{How: how, Log: log.Name()}
}

// Check reports whether the program is there.
func (c *Command) Check() error {
	_, err := exec.LookPath(c.Argv[0])
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s: no such program", c.Argv[0])
	}
	return err
}

// filler puts what is so in a case into the words of a command.
func (c Call) filler(ca string) *strings.Replacer {
	return strings.NewReplacer("{host}", c.Host, "{port}", c.Port, "{addr}", c.Addr, "{user}", c.User, "{password}", c.Password,
		"{ca}", ca, "{protocol}", c.Protocol.Info().Name, "{case}", c.Case)
}
