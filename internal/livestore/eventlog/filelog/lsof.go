package filelog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// errCantTell says that this machine does not show who has a file open.
var errCantTell = errors.New("there is neither /proc nor lsof")

// lsofOpeners returns the other processes that have the file at path open, by lsof. It is errCantTell where there is no
// lsof, or it can't tell.
func lsofOpeners(ctx context.Context, path string) ([]opener, error) {
	lsof, err := exec.LookPath("lsof")
	if err != nil {
		return nil, errCantTell
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, lsof, "-w", "-F", "pc", "--", path)
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && (cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || said.Len() > 0):
		return nil, errCantTell // with 1 and without a word it says that nobody has the file open
	}
	var all []opener
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if pid, err := strconv.Atoi(strings.TrimPrefix(line, "p")); err == nil && strings.HasPrefix(line, "p") {
			all = append(all, opener{pid: pid})
		} else if name, ok := strings.CutPrefix(line, "c"); ok && len(all) > 0 {
			all[len(all)-1].name = name
		}
	}
	others := all[:0]
	for _, o := range all {
		if o.pid != os.Getpid() {
			others = append(others, o)
		}
	}
	return others, nil
}
