package openlog_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog/openlog"
)

// inPEM writes a private key as PKCS 8, as openssl does.
func inPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keys are one key of each kind.
func keys(t *testing.T) (*rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, e, ed
}

// verified is the claims of the token in a payload, which the key must have signed.
func verified(t *testing.T, p, field, alg string, key crypto.PublicKey, c *clock) map[string]any {
	t.Helper()
	var fields map[string]string
	if err := json.Unmarshal([]byte(p), &fields); err != nil || len(fields) != 1 {
		t.Fatalf("payload %s, %v", p, err)
	}
	token, err := jwt.Parse(fields[field], func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{alg}), jwt.WithTimeFunc(c.now), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	return token.Claims.(jwt.MapClaims)
}

func TestJWTAuthSigns(t *testing.T) {
	r, e, ed := keys(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(inPEM(t, ed)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := noon()
	for _, test := range []struct {
		jwt    openlog.JWT
		public any
	}{
		{openlog.JWT{Alg: "HS256", Key: "hunter2"}, []byte("hunter2")},
		{openlog.JWT{Alg: "RS256", Key: inPEM(t, r)}, r.Public()},
		{openlog.JWT{Alg: "ES256", Key: strings.ReplaceAll(inPEM(t, e), "\n", `\n`)}, e.Public()},
		{openlog.JWT{Alg: "EdDSA", KeyFile: file}, ed.Public()},
	} {
		j := test.jwt
		j.TTL, j.Field = 5*time.Minute, "token"
		j.Claims = json.RawMessage(`{"sub":"headgate","store":"s/{store}","deep":{"list":["{store}",9007199254740993,null]}}`)
		p := payload(t, openlog.JWTAuth(j, "headgate.yaml:7", c.now), "acme")
		got := verified(t, p, "token", j.Alg, test.public, c)
		want := map[string]any{
			"sub": "headgate", "store": "s/acme", "deep": map[string]any{"list": []any{"acme", 9007199254740992.0, nil}},
			"iat": float64(c.Unix()), "exp": float64(c.Unix() + 300),
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: claims (-want +got):\n%s", j.Alg, d)
		}
	}
}

func TestJWTAuthRenews(t *testing.T) {
	c := noon()
	a := openlog.JWTAuth(openlog.JWT{Alg: "HS256", Key: "hunter2", TTL: 5 * time.Minute, Field: "authToken", Claims: json.RawMessage(`{"s":"{store}"}`)}, "x", c.now)
	one, two := payload(t, a, "one"), payload(t, a, "two")
	if one == two {
		t.Error("two stores have one token")
	}
	c.Time = c.Add(4 * time.Minute)
	if payload(t, a, "one") != one {
		t.Error("a token was not used again")
	}
	c.Time = c.Add(31 * time.Second)
	again := payload(t, a, "one")
	if again == one {
		t.Error("a token was used until it expired")
	}
	verified(t, again, "authToken", "HS256", []byte("hunter2"), c)
}

func TestJWTAuthFails(t *testing.T) {
	r, e, _ := keys(t)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		jwt  openlog.JWT
		want string
	}{
		"no file":        {openlog.JWT{Alg: "RS256", KeyFile: filepath.Join(t.TempDir(), "nowhere")}, "can't read the key"},
		"an empty file":  {openlog.JWT{Alg: "HS256", KeyFile: empty}, "is empty"},
		"no PEM":         {openlog.JWT{Alg: "RS256", Key: "hunter2"}, "is not a private RSA key, which RS256 needs"},
		"another kind":   {openlog.JWT{Alg: "RS256", Key: inPEM(t, e)}, "is not a private RSA key"},
		"another kind 2": {openlog.JWT{Alg: "EdDSA", Key: inPEM(t, r)}, "is not a private Ed25519 key"},
		"another curve":  {openlog.JWT{Alg: "ES256", Key: inPEM(t, other)}, "is not a private key of the curve P-256"},
	} {
		j := test.jwt
		j.Claims, j.TTL, j.Field = json.RawMessage(`{}`), time.Minute, "authToken"
		p, err := openlog.JWTAuth(j, "headgate.yaml:7", time.Now).Payload("demo")(t.Context())
		e := errs.As(err)
		if e == nil || e.Code != errs.Invalid || !strings.Contains(e.Msg, test.want) || e.Where == "" {
			t.Errorf("%s: payload %s, error %v, want one that says %q", name, p, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}
