// Package dashboard is headgate in a browser: the rollouts and who holds them back, the runs of migrations, the fleet by
// release, the findings of the last plans and the audit of an environment, and one button, which aborts a rollout.
//
// Its pages are made on the server of the values that the command line prints, and are whole without JavaScript. A script of
// a few lines fetches the page again when the stream at /events says that something may have changed. Nothing is inline and
// nothing comes from elsewhere: the content security policy allows the server's own style and script only.
//
// Who may come in is the [Guard]'s to say. What a cookie opens are these pages, never the API. A form is taken from the
// dashboard's own origin only.
//
// It plots what the control database has: the rate of unknown events, and once in an hour how many clients run which release.
// Each plot is a table, too.
package dashboard

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

// Options are what the pages show, and who lets people see it.
type Options struct {
	Operate operate.Rollouts
	App     string
	Version string
	Guard   Guard

	Changed func() <-chan struct{} // closed at the next change of the flags
	Moved   func()                 // is told that a rollout was aborted here
	Problem func(*http.Request, error) api.Problem
	Log     *slog.Logger
}

// A Guard knows who may look, and do. Its errors are errs.Unauthorized, errs.Forbidden and api.RateLimited.
type Guard interface {
	// Open says whether nobody has to sign in.
	Open() bool
	// SignIn returns what the cookie of a token's owner holds, and until when it is good.
	SignIn(r *http.Request, secret string) (session string, until time.Time, err error)
	// Enter returns whose session it is.
	Enter(r *http.Request, session string) (Visitor, error)
	// Renew is SignIn for somebody who is here already.
	Renew(Visitor) (session string, until time.Time)
}

// A Visitor is somebody who may look.
type Visitor struct {
	Token control.Token // the zero one where nobody has to sign in
	By    control.By
	Moves bool // may abort
}

// A Dashboard serves the pages.
type Dashboard struct {
	Options
	pages   map[string]*template.Template
	streams chan struct{} // has room for as many as may listen
	drained chan struct{}
	drain   sync.Once
	kept    kept
}

//go:embed templates
var templates embed.FS

//go:embed assets
var assets embed.FS

const streamsMost = 256

// New makes a dashboard.
func New(o Options) *Dashboard {
	d := &Dashboard{Options: o, pages: map[string]*template.Template{}, streams: make(chan struct{}, streamsMost), drained: make(chan struct{})}
	for _, name := range []string{"overview", "rollout", "fleet", "plans", "audit", "signin", "problem"} {
		t := template.New("layout.html").Funcs(template.FuncMap{"time": clock, "day": stamp, "value": value})
		d.pages[name] = template.Must(t.ParseFS(templates, "templates/layout.html", "templates/card.html", "templates/chart.html", "templates/"+name+".html"))
	}
	return d
}

// Mount adds the pages to a server's.
func (d *Dashboard) Mount(mux *http.ServeMux) {
	page := func(path string, h func(http.ResponseWriter, *http.Request, Visitor) error) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { d.enter(w, r, h) })
	}
	page("/{$}", d.overview)
	page("/rollouts/{name}", d.rollout)
	page("/fleet", d.fleet)
	page("/plans", d.plans)
	page("/audit", d.audit)
	page("/events", d.events)
	form := func(path string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { d.form(w, r, h) })
	}
	form("/rollouts/{name}/abort", d.abort)
	form("/sign-in", d.signIn)
	form("/sign-out", d.signOut)
	mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, r *http.Request) {
		d.show(w, r, http.StatusOK, "signin", Visitor{}, "Sign in", nil)
	})
	files := http.FileServerFS(assets)
	mux.HandleFunc("GET /assets/{file}", func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}

// Drain ends the streams.
func (d *Dashboard) Drain() { d.drain.Do(func() { close(d.drained) }) }

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would take the Origin from the forms
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// A page is what every template gets.
type page struct {
	Title, Path, App, Env, Version string
	Now                            time.Time
	Visitor                        Visitor
	Open                           bool // nobody has to sign in
	Inside                         bool
	Body                           any
}

// show writes a page. It is made before anything is sent, so that a failure is no half page.
func (d *Dashboard) show(w http.ResponseWriter, r *http.Request, status int, name string, v Visitor, title string, body any) {
	p := page{
		Title: title, Path: r.URL.Path, App: d.App, Env: d.Operate.Name, Version: d.Version, Now: d.Operate.Now().UTC(),
		Visitor: v, Open: d.Guard.Open(), Inside: v.By.Actor != "", Body: body,
	}
	var buf bytes.Buffer
	if err := d.pages[name].Execute(&buf, p); err != nil {
		d.Log.ErrorContext(r.Context(), "a page can't be made", "page", name, "error", err)
		http.Error(w, "the page can't be made", http.StatusInternalServerError)
		return
	}
	secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // whoever asked may be gone
}

// fail shows what went wrong.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, v Visitor, err error) {
	p := d.Problem(r, err)
	d.show(w, r, p.Status, "problem", v, p.Title, p)
}
