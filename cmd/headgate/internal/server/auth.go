package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// A permission is what a route takes.
type permission string

const (
	public   permission = ""
	read     permission = "read"
	bring    permission = "bring" // what a pipeline knows
	move     permission = "move"  // runs, rollouts, the floor
	approve  permission = "approve"
	evaluate permission = "evaluate"
	report   permission = "report" // who syncs
	floor    permission = "floor"
	tell     permission = "tell" // what the app saw
	trace    permission = "trace"
)

// permissions are what a role has.
func permissions(r control.Role) []permission {
	switch r {
	case control.RoleViewer:
		return []permission{read, evaluate, floor}
	case control.RoleCI:
		return []permission{read, evaluate, floor, bring, trace}
	case control.RoleOperator:
		return []permission{read, evaluate, floor, bring, move}
	case control.RoleApprover:
		return []permission{read, evaluate, floor, bring, move, approve}
	case control.RoleWorker:
		return []permission{report, floor, trace}
	case control.RoleClient:
		return []permission{evaluate, tell, trace}
	}
	return nil
}

// may returns an error when the token's role does not have the permission, or it is for another app.
func may(t control.Token, app string, p permission) error {
	if t.App != "" && t.App != app {
		return errs.New(errs.Forbidden, "the token is for the app %s, this is %s", t.App, app)
	}
	if !slices.Contains(permissions(t.Role), p) {
		return errs.New(errs.Forbidden, "a token of the role %s may not do this", t.Role).
			Hintf("`headgate help token` lists what each role may do").Then("headgate token create --help")
	}
	return nil
}

const (
	tokenMemory   = 5 * time.Second // how long a revoked token may go on
	tokenGrace    = 5 * time.Minute // and one whose validity can't be asked
	tokensKept    = 10_000
	ticketSeconds = 600 // a ticket lives for one to two of these
	lookups       = 4   // of tokens that are not in memory, at a time
	lookupTime    = 3 * time.Second
)

// A door knows tokens. It is safe for concurrent use.
type door struct {
	db      *control.DB
	env     string
	now     func() time.Time
	looking chan struct{} // has room for as many as look at a time: whoever tries tokens must not take the database from others

	mu    sync.Mutex
	known map[string]knownToken // by what they were looked up with
}

type knownToken struct {
	token control.Token
	at    time.Time
}

func newDoor(db *control.DB, env string, now func() time.Time) *door {
	return &door{db: db, env: env, now: now, looking: make(chan struct{}, lookups), known: map[string]knownToken{}}
}

// remembered returns a token that was looked up just now, and is valid.
func (d *door) remembered(key string) (control.Token, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.known[key]
	now := d.now()
	return k.token, ok && now.Sub(k.at) < tokenMemory && k.token.Check(now) == nil
}

// look returns the valid token that find finds, or an errs.Unauthorized error.
func (d *door) look(ctx context.Context, key string, find func(context.Context) (control.Token, error)) (control.Token, error) {
	if t, ok := d.remembered(key); ok {
		return t, nil
	}
	now := d.now()
	t, err := d.ask(ctx, find)
	if err == nil {
		err = t.Check(now)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.known[key]; ok && err != nil && errs.CodeOf(err) != errs.Unauthorized && now.Sub(k.at) < tokenGrace && k.token.Check(now) == nil {
		return k.token, nil // the database is away: what is in memory goes on
	}
	if err != nil {
		delete(d.known, key)
		return control.Token{}, err
	}
	if len(d.known) >= tokensKept {
		clear(d.known)
	}
	d.known[key] = knownToken{t, now}
	return t, nil
}

// ask asks the database when it is this one's turn.
func (d *door) ask(ctx context.Context, find func(context.Context) (control.Token, error)) (control.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	select {
	case d.looking <- struct{}{}:
	case <-ctx.Done():
		return control.Token{}, context.Cause(ctx)
	}
	defer func() { <-d.looking }()
	return find(ctx)
}

func secretKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return string(sum[:])
}

// bySecret returns the token that a request brings along.
func (d *door) bySecret(ctx context.Context, secret string) (control.Token, error) {
	return d.look(ctx, secretKey(secret), func(ctx context.Context) (control.Token, error) { return d.db.TokenOf(ctx, d.env, secret) })
}

// byID returns the token with an id.
func (d *door) byID(ctx context.Context, id string) (control.Token, error) {
	return d.look(ctx, id, func(ctx context.Context) (control.Token, error) { return d.db.TokenNamed(ctx, d.env, id) })
}

// secretOf is the token of a request's headers, or "".
func secretOf(r *http.Request) string {
	if scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(secret)
	}
	return r.Header.Get("X-API-Key")
}

// A purpose is what something sealed is good for, and for nothing else.
type purpose string

const (
	streamTicket     purpose = "stream"
	dashboardSession purpose = "dashboard"
)

// ticket returns what opens the stream for a token's owner for ten to twenty minutes. It changes every ten.
func ticket(t control.Token, now time.Time) string {
	return sealed(streamTicket, t, (now.Unix()/ticketSeconds+2)*ticketSeconds)
}

// sealed returns what stands for a token until a time, in Unix seconds.
func sealed(p purpose, t control.Token, expires int64) string {
	return fmt.Sprintf("%s.%d.%s", t.ID, expires, seal(p, t, expires))
}

func seal(p purpose, t control.Token, expires int64) string {
	mac := hmac.New(sha256.New, []byte(t.Hash))
	fmt.Fprintf(mac, "%s %s %d", p, t.ID, expires)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// byTicket returns the token that a ticket was made for, which must be valid still.
func (d *door) byTicket(ctx context.Context, s string) (control.Token, error) {
	return d.unseal(ctx, streamTicket, s)
}

// unseal returns the token that something was sealed for.
func (d *door) unseal(ctx context.Context, p purpose, s string) (control.Token, error) {
	bad := errs.New(errs.Unauthorized, "the ticket of the stream is not valid, or it has ended").Hintf("evaluate all flags again: the answer has a new address")
	if p == dashboardSession {
		bad = errs.New(errs.Unauthorized, "the session has ended").Hintf("sign in again")
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return control.Token{}, bad
	}
	expires, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || strconv.FormatInt(expires, 10) != parts[1] || d.now().Unix() >= expires {
		return control.Token{}, bad
	}
	t, err := d.byID(ctx, parts[0])
	if err != nil {
		return control.Token{}, err
	}
	if !hmac.Equal([]byte(parts[2]), []byte(seal(p, t, expires))) {
		return control.Token{}, bad
	}
	return t, nil
}

type callerKey struct{}

// withCaller keeps who calls in the request's context.
func withCaller(ctx context.Context, t control.Token) context.Context {
	return context.WithValue(ctx, callerKey{}, t)
}

// caller is who calls; the zero token where nobody has to say.
func caller(ctx context.Context) control.Token {
	t, _ := ctx.Value(callerKey{}).(control.Token)
	return t
}

// access is the caller's, towards the flags.
type access struct{ door *door }

func (a access) Admit(ctx context.Context, attributes map[string]any) error {
	t := caller(ctx)
	store, _ := attributes["storeId"].(string)
	if len(t.Stores) > 0 && store != "" && !slices.Contains(t.Stores, store) {
		return fmt.Errorf("the token %s is not for store %s", t.ID, store)
	}
	return nil
}

func (a access) Ticket(ctx context.Context) string {
	if t := caller(ctx); t.ID != "" {
		return ticket(t, a.door.now())
	}
	return ""
}

func (a access) Listening(ctx context.Context) bool {
	t := caller(ctx)
	if t.ID == "" {
		return true
	}
	_, err := a.door.byID(ctx, t.ID)
	return errs.CodeOf(err) != errs.Unauthorized // a database that is away ends no stream
}
