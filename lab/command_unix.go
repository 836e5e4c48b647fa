//go:build unix

package lab

import (
	"os/exec"
	"syscall"
)

// endWhole has cmd end with all that it has started: clients run others.
func endWhole(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
