package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"headgate/internal/errs"
)

// A Role is what the owner of a token may do. The words are stable.
type Role string

const (
	RoleViewer   Role = "viewer"   // reads
	RoleOperator Role = "operator" // reads, and starts, pauses and ends things
	RoleApprover Role = "approver" // an operator who may also approve
	RoleCI       Role = "ci"       // reads, and brings what a pipeline knows
	RoleWorker   Role = "worker"   // the sync backend's: reports who syncs and asks for the floor, and nothing else
	RoleClient   Role = "client"   // of the app: asks for flags and sends telemetry, and nothing else
)

// Acts reports whether the role starts or approves things: then a token must say whose it is, since persons are counted
// where approvals are, and who makes a token for somebody else, or under another name, is not that person.
func (r Role) Acts() bool { return r == RoleOperator || r == RoleApprover }

// Roles are all of them.
func Roles() []Role {
	return []Role{RoleViewer, RoleOperator, RoleApprover, RoleCI, RoleWorker, RoleClient}
}

// A Token is what the database knows of a token: not the token itself.
type Token struct {
	ID        string    `json:"id"` // names it, in lists and in the audit; no secret
	Env       string    `json:"env"`
	Role      Role      `json:"role"`
	App       string    `json:"app,omitempty"`    // that it is for; empty for any
	Stores    []string  `json:"stores,omitempty"` // that it is for; none for all
	Person    string    `json:"person"`           // whose it is: who acts when it is used, however many tokens they have
	Actor     string    `json:"actor"`            // who made it
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	RevokedAt time.Time `json:"revokedAt,omitzero"`

	// Hash is the SHA-256 of the token, in hex. It is never shown.
	Hash string `json:"-"`
}

const (
	tokenPrefix = "hg_" // by which scanners for secrets know it
	tokenBytes  = 32
)

// MaxTokenAge is the longest life of a token.
const MaxTokenAge = 2 * 365 * 24 * time.Hour

// CreateToken makes a token and records that. Of want it takes Env, Role, App, Stores, Person and ExpiresAt. A role that acts
// needs a person; another one's token without a person is who makes it. The secret is returned here only: the database keeps its hash.
func (db *DB) CreateToken(ctx context.Context, want Token, by By) (t Token, secret string, err error) {
	now := db.now()
	if want.Role.Acts() && strings.TrimSpace(want.Person) == "" {
		return Token{}, "", errs.Invalidf("the token does not say whose it is: an %s is a person", want.Role).
			Hintf("approvals count persons: --for NAME, the same name in all of a person's tokens, and in HEADGATE_ACTOR")
	}
	want.Person = cmp.Or(strings.TrimSpace(want.Person), strings.TrimSpace(by.Actor))
	if err := errors.Join(named("environment", want.Env), by.check(), named("person", want.Person)); err != nil {
		return Token{}, "", err
	}
	switch {
	case !want.ExpiresAt.After(now):
		return Token{}, "", errs.Invalidf("the token would have expired already")
	case want.ExpiresAt.After(now.Add(MaxTokenAge)):
		return Token{}, "", errs.Invalidf("a token lives for two years at most")
	case strings.ContainsFunc(want.Person, unicode.IsControl):
		return Token{}, "", errs.Invalidf("the person's name %q is not one line of text", want.Person)
	case want.Role != RoleClient && len(want.Stores) > 0:
		return Token{}, "", errs.Invalidf("only a client's token is for some stores").Hintf("leave --store away, or make it --role client")
	}
	for _, s := range want.Stores {
		if err := named("store", s); err != nil {
			return Token{}, "", err
		}
	}
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	t = want
	t.Hash = hashToken(secret)
	t.ID = t.Hash[:12]
	t.Actor, t.CreatedAt, t.ExpiresAt, t.RevokedAt = text(by.Actor), fromMillis(millis(now)), fromMillis(millis(want.ExpiresAt)), time.Time{}
	stores, err := json.Marshal(append([]string{}, t.Stores...))
	if err != nil {
		return Token{}, "", err
	}
	err = db.tx(ctx, "create the token", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO tokens (env, id, hash, role, app, stores, person, actor, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			t.Env, t.ID, t.Hash, string(t.Role), t.App, string(stores), t.Person, t.Actor, millis(t.CreatedAt), millis(t.ExpiresAt))
		if err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{Env: t.Env, Actor: t.Actor, Action: "token.create", Subject: t.ID, Detail: by.detail(map[string]any{
			"role": t.Role, "person": t.Person, "app": t.App, "stores": len(t.Stores), "expiresAt": t.ExpiresAt,
		})})
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, secret, nil
}

func hashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

const tokenColumns = `env, id, hash, role, app, stores, person, actor, created_at, expires_at, revoked_at`

func scanToken(rows *sql.Rows) (t Token, err error) {
	var created, expires, revoked int64
	var stores string
	if err := rows.Scan(&t.Env, &t.ID, &t.Hash, &t.Role, &t.App, &stores, &t.Person, &t.Actor, &created, &expires, &revoked); err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt, t.RevokedAt = fromMillis(created), fromMillis(expires), fromMillis(revoked)
	return t, json.Unmarshal([]byte(stores), &t.Stores)
}

// TokenOf returns the token of an environment that has this secret, whether it is valid or not, or errs.Unauthorized.
func (db *DB) TokenOf(ctx context.Context, env, secret string) (Token, error) {
	if !strings.HasPrefix(secret, tokenPrefix) || len(secret) != len(tokenPrefix)+base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return Token{}, unknownToken()
	}
	return db.oneToken(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE env = $1 AND hash = $2`, env, hashToken(secret))
}

// TokenNamed is TokenOf for the token's id.
func (db *DB) TokenNamed(ctx context.Context, env, id string) (Token, error) {
	return db.oneToken(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE env = $1 AND id = $2`, env, id)
}

func (db *DB) oneToken(ctx context.Context, query string, args ...any) (Token, error) {
	got, err := all(ctx, db.sql, scanToken, query, args...)
	if err != nil {
		return Token{}, db.failed(ctx, "look the token up", err)
	}
	if len(got) == 0 {
		return Token{}, unknownToken()
	}
	return got[0], nil
}

func unknownToken() error {
	return errs.New(errs.Unauthorized, "the token is not known").Hintf("a token belongs to one environment; `headgate token list` shows which there are")
}

// Check returns an errs.Unauthorized error when the token is not valid at a time.
func (t Token) Check(now time.Time) error {
	switch {
	case !t.RevokedAt.IsZero():
		return errs.New(errs.Unauthorized, "the token %s was revoked at %s", t.ID, t.RevokedAt.Format(time.RFC3339)).Hintf("ask for a new one")
	case !now.Before(t.ExpiresAt):
		return errs.New(errs.Unauthorized, "the token %s expired at %s", t.ID, t.ExpiresAt.Format(time.RFC3339)).Hintf("ask for a new one")
	}
	return nil
}

// Tokens are the tokens of an environment, the latest first, with those that are not valid any more.
func (db *DB) Tokens(ctx context.Context, env string) ([]Token, error) {
	out, err := all(ctx, db.sql, scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE env = $1 ORDER BY created_at DESC, id`, env)
	return out, db.failed(ctx, "list the tokens", err)
}

// RevokeToken ends a token's life, and records that. One that is revoked already stays as it is. A token that is not
// there is errs.NotFound.
func (db *DB) RevokeToken(ctx context.Context, env, id string, by By) (t Token, err error) {
	if err := by.check(); err != nil {
		return Token{}, err
	}
	err = db.tx(ctx, "revoke the token "+id, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = $3 WHERE env = $1 AND id = $2 AND revoked_at = 0`, env, id, millis(db.now()))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		got, err := all(ctx, tx, scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE env = $1 AND id = $2`, env, id)
		switch {
		case err != nil:
			return err
		case len(got) == 0:
			return errs.NotFoundf("there is no token %q in %s", id, env).Then("headgate token list --env " + env)
		}
		t = got[0]
		if n == 0 {
			return nil
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "token.revoke", Subject: id, Detail: by.detail(map[string]any{"role": t.Role, "person": t.Person})})
	})
	return t, err
}
