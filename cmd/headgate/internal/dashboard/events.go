package dashboard

import (
	"io"
	"net/http"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/internal/errs"
)

const (
	// lookEvery is how often a page is made again when the flags stay as they are: runs and clients move without them.
	lookEvery = 5 * time.Second
	sendTime  = 10 * time.Second
)

// events is the stream that tells a page to look again: at once when the flags change, else every few seconds. It ends with
// the session.
func (d *Dashboard) events(w http.ResponseWriter, r *http.Request, _ Visitor) error {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		return errs.New(api.RateLimited, "too many pages are open")
	}
	secure(w.Header())
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of nginx, which would keep events back
	send := func(text string) error {
		rc := http.NewResponseController(w)
		if err := rc.SetWriteDeadline(d.Operate.Now().Add(sendTime)); err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return rc.Flush()
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil { // the server's is for requests that end
		return err
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for err := send("retry: 2000\n\n"); err == nil; {
		changed := d.Changed()
		err = send("event: look\ndata:\n\n")
		select {
		case <-d.drained:
			return nil
		case <-r.Context().Done():
			return nil
		case <-changed:
		case <-look.C:
			if _, err := d.visitor(r); errs.CodeOf(err) == errs.Unauthorized {
				return nil
			}
		}
	}
	return nil // nobody is there any more
}
