package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/internal/testenv"
	"headgate/planner"
	"headgate/rollout"
)

// browse asks as a browser does: it follows no redirect, so that each answer is seen.
func (w *world) browse(t testing.TB, method, path, cookie string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", w.url)
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res, ""
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// signIn returns the cookie that a token gets.
func (w *world) signIn(t testing.TB, secret string) *http.Cookie {
	t.Helper()
	res, body := w.browse(t, http.MethodPost, "/sign-in", "", url.Values{"token": {secret}})
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		t.Fatalf("signing in: %d %s", res.StatusCode, body)
	}
	return res.Cookies()[0]
}

func dashboardPages() []string {
	return []string{"/", "/rollouts/abort", "/fleet", "/plans", "/audit", "/events"}
}

// TestDashboardIsGuarded opens each page without a session, with ones that are not good, and with each role.
func TestDashboardIsGuarded(t *testing.T) {
	w := newWorld(t, nil)
	w.prepare(t)
	made, secret := w.token(t, control.Token{Role: control.RoleViewer, Person: "vera"})
	c := w.signIn(t, secret)
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || time.Until(c.Expires) > sessionTime+time.Minute || strings.Contains(c.Value, secret) {
		t.Errorf("the cookie is %+v", c)
	}
	res, _ := w.browse(t, http.MethodPost, "/sign-in", "", url.Values{"token": {secret}}, "Origin", strings.Replace(w.url, "http:", "https:", 1))
	if c := res.Cookies()[0]; !c.Secure {
		t.Error("behind TLS the cookie goes without")
	} else if res, _ := w.browse(t, http.MethodGet, "/", c.Name+"="+c.Value, nil); res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 || !res.Cookies()[0].Secure {
		t.Errorf("a page behind TLS, which names no origin, answers %d and renews the cookie as %+v", res.StatusCode, res.Cookies())
	}
	good, api := c.Name+"="+c.Value, c.Name+"="+ticket(made, w.now())
	for _, path := range dashboardPages() {
		res, _ := w.browse(t, http.MethodGet, path, good, nil)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
		for name, cookie := range map[string]string{"nothing": "", "the token": c.Name + "=" + secret, "a ticket of the stream": api, "another end": strings.Replace(good, ".1", ".2", 1), "rubbish": c.Name + "=x"} {
			w.failures = newLimiter(failuresPerSecond, failuresAtOnce, w.now)
			res, body := w.browse(t, http.MethodGet, path, cookie, nil)
			if path == "/events" && res.StatusCode != 401 || path != "/events" && (res.StatusCode != 303 || res.Header.Get("Location") != "/sign-in") {
				t.Errorf("%s with %s: %d %s", path, name, res.StatusCode, body)
			}
		}
	}
	// A session is the dashboard's alone.
	for _, header := range [][]string{{"Cookie", good}, {"Authorization", "Bearer " + c.Value}} {
		if status, _, _ := w.ask(t, http.MethodGet, "/v1/status", "", "", header...); status != 401 {
			t.Errorf("the API with a session: %d", status)
		}
	}
	for _, role := range control.Roles() {
		_, s := w.token(t, control.Token{Role: role, App: "todo"})
		res, _ := w.browse(t, http.MethodPost, "/sign-in", "", url.Values{"token": {s}})
		if in := res.StatusCode == 303; in != slices.Contains(permissions(role), read) {
			t.Errorf("a %s signs in: %d", role, res.StatusCode)
		}
	}
	res, _ = w.browse(t, http.MethodPost, "/sign-out", good, nil)
	if out := res.Cookies(); len(out) != 1 || out[0].MaxAge >= 0 {
		t.Errorf("signing out sets %v", out)
	}
	if _, err := w.Operate.DB.RevokeToken(t.Context(), "prod", made.ID, control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * tokenMemory)
	if res, _ := w.browse(t, http.MethodGet, "/", good, nil); res.StatusCode != 303 {
		t.Errorf("after its token was revoked: %d", res.StatusCode)
	}
	// Who tries tokens is told to wait.
	for range 2 * failuresAtOnce {
		res, _ = w.browse(t, http.MethodPost, "/sign-in", "", url.Values{"token": {"hg_x"}})
	}
	if res.StatusCode != 429 {
		t.Errorf("many tries: %d", res.StatusCode)
	}
}

// TestDashboardAborts for who may, from its own page, with a reason.
func TestDashboardAborts(t *testing.T) {
	w := newWorld(t, nil)
	w.prepare(t)
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	_, operator := w.token(t, control.Token{Role: control.RoleOperator, Person: "ana"})
	session := func(secret string) string { c := w.signIn(t, secret); return c.Name + "=" + c.Value }
	looks, moves := session(viewer), session(operator)
	if _, body := w.browse(t, http.MethodGet, "/", looks, nil); strings.Contains(body, `action="/rollouts`) || !strings.Contains(body, "Rollout promote") {
		t.Error("a viewer is offered an abort, or sees no rollout")
	}
	if _, body := w.browse(t, http.MethodGet, "/", moves, nil); !strings.Contains(body, `action="/rollouts/promote/abort"`) {
		t.Errorf("an operator is not offered an abort: %s", body)
	}
	why := url.Values{"reason": {"wrong <script>alert(1)</script>"}}
	for _, tc := range []struct {
		name, cookie string
		form         url.Values
		header       []string
		want         int
	}{
		{"nobody", "", why, nil, 401},
		{"a viewer", looks, why, nil, 403},
		{"no reason", moves, url.Values{"reason": {" "}}, nil, 400},
		{"a page elsewhere", moves, why, []string{"Origin", "https://evil.example"}, 403},
		{"a page that hides", moves, why, []string{"Origin", "null"}, 403},
		{"no origin", moves, why, []string{"Origin", ""}, 403},
		{"a page of the site", moves, why, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a bomb", moves, url.Values{"reason": {strings.Repeat("x", 1<<20)}}, nil, 413},
		{"an operator", moves, why, nil, 303},
		{"again", moves, why, nil, 400},
	} {
		if res, body := w.browse(t, http.MethodPost, "/rollouts/promote/abort", tc.cookie, tc.form, tc.header...); res.StatusCode != tc.want {
			t.Errorf("%s: %d %s", tc.name, res.StatusCode, body)
		}
	}
	s, err := w.Operate.RolloutStatus(t.Context(), "promote", false)
	if err != nil || s.Phase != rollout.Aborted {
		t.Errorf("%+v, %v", s.Phase, err)
	}
	if _, err := w.Operate.Stop(t.Context(), control.By{Actor: "ben", Reason: "smoke"}, false); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Minute)
	if _, body := w.browse(t, http.MethodGet, "/", looks, nil); !strings.Contains(body, "Nothing advances: ben stopped prod") || strings.Contains(body, ">Abort") {
		t.Errorf("the stop is not said: %s", body)
	}
	for _, path := range []string{"/rollouts/promote", "/audit"} {
		if _, body := w.browse(t, http.MethodGet, path, looks, nil); strings.Contains(body, "<script>alert") || !strings.Contains(body, "wrong &lt;script&gt;") || !strings.Contains(body, "<td>ana</td>") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// TestDashboardEscapes what comes from clients, who name themselves.
func TestDashboardEscapes(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NoAuth = true })
	w.prepare(t)
	const evil = `"><script>alert(1)</script>`
	seen := []control.Client{{Store: "s1", ID: evil, Release: "1.0.0", LastSeen: w.now(), Source: rollout.FromSync}}
	if _, err := w.Operate.DB.ImportCensus(t.Context(), "prod", evil, control.Values(seen), control.By{Actor: evil}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/rollouts/promote", "/fleet", "/audit", "/rollouts/" + url.PathEscape(evil)} {
		_, body := w.browse(t, http.MethodGet, path, "", nil)
		if strings.Contains(body, "<script>") || strings.Contains(body, " style=") || strings.Contains(body, " onclick=") {
			t.Errorf("%s has something inline: %s", path, body)
		}
		if path != "/fleet" && !strings.Contains(body, "&lt;script&gt;alert(1)") {
			t.Errorf("%s does not say who it is: %s", path, body)
		}
	}
	res, _ := w.browse(t, http.MethodPost, "/rollouts/promote/abort", "", url.Values{"reason": {"x"}}, "Origin", "http://evil.example")
	if res.StatusCode != 403 {
		t.Errorf("without tokens, from elsewhere: %d", res.StatusCode)
	}
	if res, _ := w.browse(t, http.MethodGet, "/assets/../templates/layout.html", "", nil); res.StatusCode == 200 {
		t.Error("the templates are served")
	}
	for _, file := range []string{"style.css", "live.js", "icon.svg"} {
		if res, _ := w.browse(t, http.MethodGet, "/assets/"+file, "", nil); res.StatusCode != 200 {
			t.Errorf("%s: %d", file, res.StatusCode)
		}
	}
}

// TestDashboardShowsPlans from their approval on, with their findings; a plan that is not what its digest says is refused.
func TestDashboardShowsPlans(t *testing.T) {
	w := newWorld(t, nil)
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	cookie := w.signIn(t, viewer).String()
	show := func() string {
		t.Helper()
		res, body := w.browse(t, http.MethodGet, "/plans", cookie, nil)
		if res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		return body
	}
	if body := show(); !strings.Contains(body, "No plan was approved") {
		t.Error(body)
	}
	make := func(env string) *planner.Plan {
		t.Helper()
		p, err := planner.BuildPlan(planner.PlanInput{
			Input: planner.Input{To: &schema.Release{App: "todo", Schema: "main", Version: "1.1.0"}}, Environment: env,
		})
		if err != nil {
			t.Fatal(err)
		}
		p.Evidence.Findings = append(p.Evidence.Findings, planner.Finding{Code: "ST103", Severity: planner.Warning, Event: "v2.TodoCreated", Message: "12 <rows> stay a hole", Fix: "bump the epoch"})
		return p
	}
	p, other := make("prod"), make("staging")
	_, secret := w.token(t, control.Token{Role: control.RoleApprover, Person: "ben"})
	approve := func(digest, text string) (int, string) {
		t.Helper()
		body, err := json.Marshal(map[string]string{"reason": "read it", "plan": text})
		if err != nil {
			t.Fatal(err)
		}
		status, _, answer := w.ask(t, http.MethodPost, "/v1/plans/"+digest+"/approve", secret, string(body))
		return status, answer
	}
	for _, bad := range [][2]string{{other.Digest, string(other.JSON())}, {other.Digest, string(p.JSON())}, {p.Digest, "{}"}} {
		if status, answer := approve(bad[0], bad[1]); status < 400 || status >= 500 {
			t.Errorf("%d %s", status, answer)
		}
	}
	if body := show(); !strings.Contains(body, "No plan was approved") {
		t.Error(body)
	}
	if status, answer := approve(p.Digest, string(p.JSON())); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	body := show()
	for _, want := range []string{"Approved by ben", ": read it", "ST103", "v2.TodoCreated", "12 &lt;rows&gt; stay a hole", "bump the epoch", p.Digest} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q:\n%s", want, body)
		}
	}
	_, _, list := w.ask(t, http.MethodGet, "/v1/plans", viewer, "")
	if !strings.Contains(list, p.Digest) || !strings.Contains(list, `"actor":"ben"`) {
		t.Error(list)
	}
}

// TestDashboardInChromium signs in, sees another's abort arrive, aborts with the keyboard, and reads it all without JavaScript.
func TestDashboardInChromium(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		testenv.Need(t, "chromium", "run `apt-get install chromium`")
	}
	proofs := filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "app")
	if _, err := os.Stat(filepath.Join(proofs, "node_modules", "playwright-core")); errors.Is(err, fs.ErrNotExist) {
		testenv.Need(t, "internal/codegen/testdata/app/node_modules", "run `make deps`")
	}
	w := newWorld(t, nil)
	w.seed(t)
	w.prepare(t)
	blocker := []control.Client{{Store: "s1", ID: "tablet in the hall", Release: "1.0.0", LastSeen: w.now(), Source: rollout.FromSync}}
	if _, err := w.Operate.DB.ImportCensus(t.Context(), "prod", "test", control.Values(blocker), control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	_, operator := w.token(t, control.Token{Role: control.RoleOperator, Person: "ana"})
	arg, err := json.Marshal(map[string]string{
		"proofs": proofs, "chromium": chromium, "profile": t.TempDir(), "url": w.url, "token": operator,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "dashboard.mjs"), string(arg))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	type seen struct {
		SignedIn, Live, Aborted, Without, Outside string
		LiveMs                                    int
		Complaints                                []string
	}
	got := decode[seen](t, string(out))
	for _, tc := range []struct{ what, text, want string }{
		{"signed in", got.SignedIn, "tablet in the hall"},
		{"the abort of somebody else", got.Live, "aborted"},
		{"the abort", got.Aborted, "typed with care"},
		{"without JavaScript", got.Without, "typed with care"},
		{"signed out", got.Outside, "/sign-in"},
	} {
		if !strings.Contains(tc.text, tc.want) {
			t.Errorf("%s: %s", tc.what, tc.text)
		}
	}
	if len(got.Complaints) > 0 {
		t.Errorf("the browser complains: %q", got.Complaints)
	}
	t.Logf("somebody else's abort was on the page after %d ms", got.LiveMs)
}

// TestDashboardWithoutInventory: what can't be shown can be aborted all the same.
func TestDashboardWithoutInventory(t *testing.T) {
	var broken atomic.Bool
	w := newWorld(t, func(o *Options) {
		o.NoAuth = true
		inventory := o.Operate.Inventory
		o.Operate.Inventory = func(ctx context.Context) ([]config.Store, error) {
			if broken.Load() {
				return nil, errs.Invalidf("the inventory is on fire")
			}
			return inventory(ctx)
		}
	})
	w.prepare(t)
	broken.Store(true)
	res, body := w.browse(t, http.MethodGet, "/", "", nil)
	if res.StatusCode != 200 || !strings.Contains(body, "the inventory is on fire") || !strings.Contains(body, `action="/rollouts/promote/abort"`) || strings.Contains(body, `action="/rollouts/undo/abort"`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := w.browse(t, http.MethodPost, "/rollouts/promote/abort", "", url.Values{"reason": {"fire"}}); res.StatusCode != 303 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if _, body := w.browse(t, http.MethodGet, "/rollouts/promote", "", nil); !strings.Contains(body, "the inventory is on fire") || !strings.Contains(body, "<code>rollout.abort</code>") {
		t.Errorf("what became of it is not said: %s", body)
	}
	if res, _ := w.browse(t, http.MethodGet, "/rollouts/nope", "", nil); res.StatusCode != 404 {
		t.Errorf("a rollout that there is not: %d", res.StatusCode)
	}
}

// TestDashboardStream says at once that the flags changed, and ends when the server does.
func TestDashboardStream(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NoAuth = true })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	looks := func() time.Duration {
		t.Helper()
		start := time.Now()
		for lines.Scan() {
			if lines.Text() == "event: look" {
				return time.Since(start)
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return 0
	}
	looks() // on opening
	w.write(percent("50"))
	if took := looks(); took > 3*time.Second {
		t.Errorf("a change took %s", took)
	}
	w.pages.Drain()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}
