package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// firstSocket is the first file descriptor that is handed over, by systemd
// (sd_listen_fds) and by ourselves.
const firstSocket = 3

// handedEnv lists the addresses of the sockets that a gateway hands to the next;
// the pipe by which that says it is ready follows them.
const handedEnv = "STARTTLS_GATEWAY_SOCKETS"

// inherited gives the sockets that were handed over, by address: from a gateway
// before us, or from systemd as fd:NAME.
func inherited() (map[string]net.Listener, error) {
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	n := 0
	if handed := os.Getenv(handedEnv); handed != "" {
		if err := json.Unmarshal([]byte(handed), &names); err != nil {
			return nil, fmt.Errorf("%s: %w", handedEnv, err)
		}
		n = len(names)
	} else if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		var err error
		if n, err = strconv.Atoi(os.Getenv("LISTEN_FDS")); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS: %w", err)
		}
		for i := range names {
			names[i] = "fd:" + names[i]
		}
	}
	out := map[string]net.Listener{}
	for i := range n {
		name := "fd:" + strconv.Itoa(firstSocket+i)
		if i < len(names) && names[i] != "fd:" {
			name = names[i]
		}
		f := os.NewFile(uintptr(firstSocket+i), name)
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s was handed over and is no socket to listen at: %w", name, err)
		}
		out[name] = l
	}
	return out, nil
}

// tellReady says to systemd, and to the gateway before us, that we serve.
func tellReady() {
	notify("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()))
	var names []string
	if json.Unmarshal([]byte(os.Getenv(handedEnv)), &names) == nil {
		pipe := os.NewFile(uintptr(firstSocket+len(names)), "ready")
		pipe.Write([]byte{1})
		pipe.Close()
	}
	for _, name := range []string{handedEnv, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name) // they are no child's of ours
	}
}

// notify tells systemd's manager of our state (sd_notify).
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte(state))
}

// readyWithin is how long the next gateway may take to be ready.
const readyWithin = 30 * time.Second

// handOver starts the program anew with all sockets, and returns when it serves.
// No connection is refused meanwhile: those that come wait in the sockets.
func (g *Gateway) handOver(ctx context.Context) error {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return err
	}
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	var names []string
	for addr, l := range g.Sockets() {
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			return err
		}
		defer f.Close()
		names, cmd.ExtraFiles = append(names, addr), append(cmd.ExtraFiles, f)
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	list, _ := json.Marshal(names)
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Env = append(os.Environ(), handedEnv+"="+string(list))
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	go cmd.Wait()
	ready.SetReadDeadline(time.Now().Add(readyWithin))
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	if n, _ := ready.Read(make([]byte, 1)); n == 0 {
		cmd.Process.Kill()
		return errors.New("the new process has not become ready; its log says why")
	}
	g.unlinkPaths(false)
	return nil
}

// unlinkPaths says whether closing our unix sockets removes their paths: those of
// sockets that were handed to us too, but not of those that are the next
// gateway's by now, nor of systemd's.
func (g *Gateway) unlinkPaths(yes bool) {
	for addr, l := range g.Sockets() {
		if u, ok := l.(*net.UnixListener); ok && !strings.HasPrefix(addr, "fd:") {
			u.SetUnlinkOnClose(yes)
		}
	}
}
