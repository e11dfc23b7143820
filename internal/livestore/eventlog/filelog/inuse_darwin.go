package filelog

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// openers returns the other processes that have the file at path open, by lsof; none where there is no lsof.
func openers(ctx context.Context, path string) ([]opener, error) {
	lsof, err := exec.LookPath("lsof")
	if err != nil {
		return nil, nil //nolint:nilerr // then only changes of the file tell
	}
	out, err := exec.CommandContext(ctx, lsof, "-F", "pc", "--", path).Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && len(out) == 0 {
		return nil, nil //nolint:nilerr // it fails where nobody has the file open
	}
	var all []opener
	for line := range strings.Lines(string(out)) {
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
