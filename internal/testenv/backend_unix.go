//go:build unix

package testenv

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts the command and what it starts into a process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// endGroup ends a process that ownGroup prepared, and its children, and waits until ended is closed. It does not ask
// first: workerd takes seconds to end a busy store, and the data is thrown away.
func endGroup(p *os.Process, ended <-chan struct{}) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // it may have ended
	<-ended
}
