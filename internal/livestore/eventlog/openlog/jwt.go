package openlog

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// A JWT says how the payload of a store is signed: {Field: token}.
type JWT struct {
	// Key is the key, or KeyFile the file that holds it: any text for HS256, PEM for the others.
	Key, KeyFile string
	// Alg is HS256, RS256, ES256 or EdDSA.
	Alg string
	// Claims is a JSON object; {store} in its strings stands for the store's id. iat and exp are added.
	Claims json.RawMessage
	// TTL is how long a token is valid.
	TTL time.Duration
	// Field is the payload's field.
	Field string
}

// JWTAuth signs a token for each store, and a new one shortly before it expires. where is a place in a configuration,
// for errors, none of which quotes the key or a claim.
func JWTAuth(j JWT, where string, now func() time.Time) *Auth {
	return &Auth{jwt: &j, where: where, now: now, stores: map[livestore.StoreID]*authEntry{}}
}

// sign makes the payload of a store.
func (a *Auth) sign(store livestore.StoreID) (payload json.RawMessage, expires time.Time, err error) {
	key, err := a.signingKey()
	if err != nil {
		return nil, time.Time{}, err
	}
	fail := func(what string) error {
		return errs.Invalidf("the token for store %s: %s", store, what).At("%s", a.where)
	}
	// Numbers stay as they are written: a double would round a long one.
	dec := json.NewDecoder(bytes.NewReader(a.jwt.Claims))
	dec.UseNumber()
	var template map[string]any
	if err := dec.Decode(&template); err != nil {
		return nil, time.Time{}, fail("the claims are not a JSON object")
	}
	claims := jwt.MapClaims{}
	for name, v := range template {
		claims[name] = fill(v, store)
	}
	issued := a.now().Truncate(time.Second)
	expires = issued.Add(a.jwt.TTL)
	claims["iat"], claims["exp"] = issued.Unix(), expires.Unix()
	token, err := jwt.NewWithClaims(jwt.GetSigningMethod(a.jwt.Alg), claims).SignedString(key)
	if err != nil {
		return nil, time.Time{}, fail("the key can't sign it") // what the library says may quote a claim
	}
	payload, err = json.Marshal(map[string]string{a.jwt.Field: token})
	return payload, expires, err
}

// fill replaces {store} in the strings of a template.
func fill(v any, store livestore.StoreID) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "{store}", string(store))
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = fill(v[i], store)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = fill(v[name], store)
		}
		return out
	}
	return v
}

// signingKey reads the key. It is read for each token, so a key that was rotated is used.
func (a *Auth) signingKey() (any, error) {
	if a.jwt.Alg == "HS256" && a.jwt.Key != "" {
		return []byte(a.jwt.Key), nil // to the last space
	}
	text, at := []byte(a.jwt.Key), a.where
	if a.jwt.KeyFile != "" {
		at = a.jwt.KeyFile
		var err error
		if text, err = os.ReadFile(a.jwt.KeyFile); err != nil {
			return nil, errs.Invalidf("can't read the key that tokens are signed with").At("%s", at).Because(err).Hintf("%s names it", a.where)
		}
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, errs.Invalidf("the key that tokens are signed with is empty").At("%s", at)
	}
	if a.jwt.Alg == "HS256" {
		return text, nil // an editor ends a file with a line feed
	}
	// A variable of a CI system often holds the lines of a PEM with \n between them.
	if !bytes.ContainsRune(text, '\n') {
		text = bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))
	}
	key, what := parseKey(a.jwt.Alg, text)
	if key == nil {
		return nil, errs.Invalidf("the key is not %s, which %s needs", what, a.jwt.Alg).At("%s", at).
			Hintf("it is a private key in PEM, from -----BEGIN to -----END; `openssl pkey -in FILE -noout -text` says what a file holds")
	}
	return key, nil
}

// parseKey returns nil and what it must be where it is something else.
func parseKey(alg string, text []byte) (key crypto.PrivateKey, what string) {
	switch alg {
	case "RS256":
		if k, err := jwt.ParseRSAPrivateKeyFromPEM(text); err == nil {
			return k, ""
		}
		return nil, "a private RSA key"
	case "ES256":
		if k, err := jwt.ParseECPrivateKeyFromPEM(text); err == nil && isP256(k) {
			return k, ""
		}
		return nil, "a private key of the curve P-256"
	case "EdDSA":
		if k, err := jwt.ParseEdPrivateKeyFromPEM(text); err == nil {
			return k, ""
		}
		return nil, "a private Ed25519 key"
	}
	return nil, fmt.Sprintf("of a known algorithm (%q)", alg)
}

func isP256(k *ecdsa.PrivateKey) bool { return k.Curve == elliptic.P256() }
