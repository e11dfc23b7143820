//go:build !unix

package testenv

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func endGroup(p *os.Process, ended <-chan struct{}) {
	_ = p.Kill() // workerd ends with the pipe to it
	<-ended
}
