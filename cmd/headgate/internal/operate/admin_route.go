package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// An AdminRoute is the guarded route of headgate.worker.ts on a sync backend.
type AdminRoute struct {
	URL   string // of the backend, as the store's log has it
	Token string // HEADGATE_ADMIN_TOKEN of the Worker; it is never in an error
	From  string // where the token is from, for errors: the name of a variable
	// Client makes the requests; it must not follow redirects, which would get the token. nil for one that does not.
	Client *http.Client
}

// A BackendStore is what the Worker says of a store.
type BackendStore struct {
	Exists    bool
	Head      livestore.SeqNum
	BackendID string
	Sockets   int       // clients that are connected
	HeldUntil time.Time // zero for a store that takes clients' pushes
}

type backendStore struct {
	Exists    bool             `json:"exists"`
	Head      livestore.SeqNum `json:"head"`
	BackendID string           `json:"backendId"`
	Sockets   int              `json:"sockets"`
	HeldUntil *int64           `json:"heldUntil"` // milliseconds; a Worker of an earlier headgate does not say it
}

func (s backendStore) known() (BackendStore, error) {
	b := BackendStore{Exists: s.Exists, Head: s.Head, BackendID: s.BackendID, Sockets: s.Sockets}
	if s.HeldUntil == nil {
		return b, errs.Refusedf("the Worker that is deployed is of an earlier headgate, and can't hold a store").
			Hintf("write it anew and deploy it; nothing was changed").Then("headgate generate")
	}
	if *s.HeldUntil > 0 {
		b.HeldUntil = time.UnixMilli(*s.HeldUntil).UTC()
	}
	return b, nil
}

// Info asks about a store. Asking creates nothing.
func (r AdminRoute) Info(ctx context.Context, store livestore.StoreID) (BackendStore, error) {
	var s backendStore
	if _, err := r.post(ctx, "info", map[string]any{"storeId": store}, &s); err != nil {
		return BackendStore{}, err
	}
	return s.known()
}

// HoldTime is how long a store is held at the most by one request: so long do clients' pushes and
// new pulls wait when whoever held it is gone.
const HoldTime = 10 * time.Minute

// Hold has the pushes and the new pulls of clients wait, for [HoldTime] from now on. They keep what they commit.
func (r AdminRoute) Hold(ctx context.Context, store livestore.StoreID) (BackendStore, error) {
	return r.hold(ctx, store, HoldTime)
}

// Keep renews a hold until stop is called, which may be done twice. What passes, as a backend that can't be reached for a
// moment, is for whoever works on the store to notice.
func (r AdminRoute) Keep(ctx context.Context, store livestore.StoreID) (stop func()) {
	keeping, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		beat := time.NewTicker(HoldTime / 3)
		defer beat.Stop()
		for {
			select {
			case <-keeping.Done():
				return
			case <-beat.C:
				_, _ = r.Hold(keeping, store)
			}
		}
	}()
	return func() {
		end()
		<-done
	}
}

// Release ends a hold.
func (r AdminRoute) Release(ctx context.Context, store livestore.StoreID) error {
	_, err := r.hold(ctx, store, 0)
	return err
}

func (r AdminRoute) hold(ctx context.Context, store livestore.StoreID, d time.Duration) (BackendStore, error) {
	var s backendStore
	if _, err := r.post(ctx, "hold", map[string]any{"storeId": store, "seconds": int(d.Seconds())}, &s); err != nil {
		return BackendStore{}, err
	}
	return s.known()
}

// Reset empties a store that still is what was said of it, and holds it from then on. It is errs.Refused where it is another
// one by now. After an error without an answer the reset may have been done: Info says another backend id then.
func (r AdminRoute) Reset(ctx context.Context, store livestore.StoreID, was BackendStore) error {
	var answer struct {
		Done bool         `json:"done"`
		Why  string       `json:"why"`
		Info backendStore `json:"info"`
	}
	body := map[string]any{"storeId": store, "backendId": was.BackendID, "head": was.Head, "hold": int(HoldTime.Seconds())}
	status, err := r.post(ctx, "reset", body, &answer)
	switch {
	case err != nil:
		return err
	case status == http.StatusConflict:
		return errs.Refusedf("the backend did not reset the store: %s", answer.Why).At("%s", r.where()).
			Hintf("it ends at e%d, it was looked at at e%d; nothing was deleted", answer.Info.Head, was.Head)
	case !answer.Done:
		return errs.New(errs.Internal, "the backend did not reset the store, and does not say why").At("%s", r.where())
	}
	return nil
}

// routeTime is how long an answer may take.
const routeTime = 30 * time.Second

// post asks for an operation. The error is for what is no answer of it.
func (r AdminRoute) post(ctx context.Context, operation string, body, into any) (status int, err error) {
	u, err := r.address(operation)
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, routeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	req.Header.Set("Content-Type", "application/json")
	client := r.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, errs.New(errs.Internal, "the sync backend can't be reached").At("%s", r.where()).Because(err).Passes().
			Hintf("is it running, and is that its address?")
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, errs.New(errs.Internal, "the sync backend's answer broke off").At("%s", r.where()).Because(err).Passes()
	}
	var refused struct {
		Error string `json:"error"`
	}
	ours := json.Unmarshal(answer, &refused) == nil
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return 0, errs.New(errs.Unauthorized, "the sync backend does not take the admin token").At("%s", r.where()).
			Hintf("%s must hold what the Worker has as HEADGATE_ADMIN_TOKEN", r.From)
	case res.StatusCode == http.StatusNotFound && refused.Error == "no such operation":
		_, err := backendStore{}.known()
		return 0, err
	case ours && (res.StatusCode == http.StatusOK || res.StatusCode == http.StatusConflict):
		return res.StatusCode, json.Unmarshal(answer, into)
	case refused.Error != "":
		return 0, errs.New(errs.Internal, "the admin route refused %s (%d): %s", operation, res.StatusCode, refused.Error).At("%s", r.where())
	case res.StatusCode >= 500:
		return 0, errs.New(errs.Internal, "the sync backend failed with status %d", res.StatusCode).At("%s", r.where()).Passes().
			Hintf("look into the Worker's log")
	default:
		return 0, errs.NotFoundf("the sync backend has no admin route (%d)", res.StatusCode).At("%s", r.where()).
			Hintf("wrap the backend with headgate's worker, and set HEADGATE_ADMIN_TOKEN there, 16 characters or more").Then("headgate help generate")
	}
}

// address is where an operation is asked for. The token goes to this machine, or encrypted.
func (r AdminRoute) address(operation string) (*url.URL, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, errs.Invalidf("the sync backend's address is malformed") // err quotes it
	}
	switch u.Scheme {
	case "wss", "https":
		u.Scheme = "https"
	default:
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errs.Refusedf("the admin token is not sent to another machine over %s", u.Scheme).At("%s", r.where()).
				Hintf("name the backend with https:// or wss://")
		}
		u.Scheme = "http"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	u.Path = "/headgate/admin/" + operation
	return u, nil
}

// where is the backend's address for messages.
func (r AdminRoute) where() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "the sync backend"
	}
	return strings.TrimSuffix(u.Scheme+"://"+u.Host, "://")
}
