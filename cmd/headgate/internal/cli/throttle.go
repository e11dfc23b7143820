package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/jobs"
)

// probe makes the environment's throttle, nil where it has none. What it says goes to stderr.
func (a *app) probe(cfg *config.Config, env config.Environment) *jobs.Probe {
	t := env.Throttle
	if t.Line == 0 {
		return nil
	}
	p := &jobs.Probe{Every: t.Every, Timeout: t.Timeout, Ignore: t.Ignore, Said: func(hold string) {
		if hold == "" {
			fmt.Fprintf(a.stderr, "going on with the migrations of %s\n", env.Name)
			return
		}
		fmt.Fprintf(a.stderr, "holding the migrations of %s: %s\n", env.Name, hold)
	}}
	if t.URL != "" {
		p.Ask = func(ctx context.Context) (string, time.Duration, error) { return askURL(ctx, t.URL, a.now) }
	} else {
		p.Ask = func(ctx context.Context) (string, time.Duration, error) {
			hold, err := askCommand(ctx, t.Command, cfg.Dir)
			return hold, 0, err
		}
	}
	return p
}

// askURL asks a probe over HTTP: 2xx goes on, 429 and 503 hold, for as long as Retry-After says. Anything else is a failure.
func askURL(ctx context.Context, address string, now func() time.Time) (hold string, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", 0, errors.New("its URL can't be read") // the URL may hold a token
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return "", 0, fmt.Errorf("%s does not answer: %w", req.URL.Host, err)
	}
	defer res.Body.Close()                                       //nolint:errcheck // it was read
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return "", 0, nil
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		return fmt.Sprintf("%s answers %s", req.URL.Host, res.Status), afterHeader(res.Header.Get("Retry-After"), now()), nil
	}
	return "", 0, fmt.Errorf("%s answers %s", req.URL.Host, res.Status)
}

// maxHold bounds what a Retry-After may ask for.
const maxHold = 10 * time.Minute

func afterHeader(v string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return min(time.Duration(n)*time.Second, maxHold)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(0, t.Sub(now)), maxHold)
	}
	return 0
}

// askCommand runs a probe: with 0 it goes on, with another status it holds, and what it prints last says why.
func askCommand(ctx context.Context, command []string, dir string) (hold string, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second // a child of its own may hold the pipes open
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not end in time", command[0])
	case errors.As(err, &exit):
		why := fmt.Sprintf("%s ends with %d", command[0], exit.ExitCode())
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		if last := strings.ToValidUTF8(oneLine(string(lines[len(lines)-1])), "?"); last != "" {
			why += ": " + last[:min(len(last), 200)]
		}
		return why, nil
	case err != nil:
		return "", fmt.Errorf("%s can't be run: %w", command[0], err)
	}
	return "", nil
}
