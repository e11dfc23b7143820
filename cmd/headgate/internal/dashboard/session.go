package dashboard

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/rollout"
)

// formBytes is what a form may have.
const formBytes = 16 << 10

// liveHeader is what the script sends: a page that is only left open renews no session.
const liveHeader = "Headgate-Live"

// cookie is the name of the session's. Servers of several environments may share a host, and cookies know no ports.
func (d *Dashboard) cookie() string { return "headgate-" + url.QueryEscape(d.Operate.Name) }

// hostOnly is what a browser demands of the name of a cookie that goes by TLS alone, to this host alone.
const hostOnly = "__Host-"

func (d *Dashboard) visitor(r *http.Request) (Visitor, error) {
	session := ""
	for _, name := range []string{hostOnly + d.cookie(), d.cookie()} {
		if c, err := r.Cookie(name); err == nil && session == "" {
			session = c.Value
		}
	}
	return d.Guard.Enter(r, session)
}

// enter shows a page to who may see it, and asks others to sign in.
func (d *Dashboard) enter(w http.ResponseWriter, r *http.Request, h func(http.ResponseWriter, *http.Request, Visitor) error) {
	v, err := d.visitor(r)
	switch {
	case errs.CodeOf(err) == errs.Unauthorized && r.Header.Get(liveHeader) == "" && r.URL.Path != "/events":
		secure(w.Header())
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return
	case err != nil:
		d.fail(w, r, Visitor{}, err)
		return
	}
	if r.Header.Get(liveHeader) == "" && r.URL.Path != "/events" && !d.Guard.Open() {
		session, until := d.Guard.Renew(v)
		d.keep(w, r, session, until)
	}
	if err := h(w, r, v); err != nil {
		d.fail(w, r, v, err)
	}
}

// keep sets the cookie. It is for TLS only when the browser came by TLS; behind a proxy that shows in the origin of a form, and
// afterwards in the cookie's name.
func (d *Dashboard) keep(w http.ResponseWriter, r *http.Request, session string, until time.Time) {
	name := d.cookie()
	_, err := r.Cookie(hostOnly + name)
	tls := r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://") || err == nil
	if tls {
		name = hostOnly + name
	}
	c := &http.Cookie{Name: name, Value: session, Path: "/", HttpOnly: true, Secure: tls, SameSite: http.SameSiteStrictMode, Expires: until}
	if session == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// form takes a form that the dashboard's own page sent: a browser names the origin of what it sends, always.
func (d *Dashboard) form(w http.ResponseWriter, r *http.Request, h func(http.ResponseWriter, *http.Request) error) {
	r.Body = http.MaxBytesReader(w, r.Body, formBytes)
	err := ownOrigin(r)
	if err == nil {
		if parsed := r.ParseForm(); parsed != nil {
			err = errs.Invalidf("the form can't be read").Because(parsed)
		}
	}
	if err == nil {
		err = h(w, r)
	}
	if err != nil {
		v, _ := d.visitor(r) // a problem is shown to anyone; who is in keeps the navigation
		d.fail(w, r, v, err)
	}
}

func ownOrigin(r *http.Request) error {
	refused := errs.New(errs.Forbidden, "the form comes from a page of another origin").Hintf("behind a proxy, the proxy must leave the Host header as it is")
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return refused
	}
	if origin, err := url.Parse(r.Header.Get("Origin")); err != nil || origin.Host == "" || origin.Host != r.Host {
		return refused
	}
	return nil
}

func (d *Dashboard) signIn(w http.ResponseWriter, r *http.Request) error {
	session, until, err := d.Guard.SignIn(r, strings.TrimSpace(r.PostForm.Get("token")))
	if err != nil {
		p := d.Problem(r, err)
		d.show(w, r, p.Status, "signin", Visitor{}, "Sign in", p)
		return nil
	}
	d.keep(w, r, session, until)
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// signOut has the browser forget the session. Nothing is kept of it here: it ends by itself, or with its token.
func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request) error {
	d.keep(w, r, "", time.Time{})
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}

// abort closes a rollout's stores.
func (d *Dashboard) abort(w http.ResponseWriter, r *http.Request) error {
	v, err := d.visitor(r)
	if err != nil {
		return err
	}
	if !v.Moves {
		return errs.New(errs.Forbidden, "aborting takes a token of the role operator or approver, this one is of the role %s", v.Token.Role)
	}
	by := v.By
	if by.Reason = strings.TrimSpace(r.PostForm.Get("reason")); by.Reason == "" {
		return errs.Invalidf("an abort needs a reason").Hintf("go back, and say why: it is for the audit")
	}
	name := r.PathValue("name")
	if _, err := d.Operate.RolloutAct(r.Context(), name, operate.RolloutAsk{Command: rollout.Abort}, by); err != nil {
		return err
	}
	d.kept.forget()
	d.Moved()
	http.Redirect(w, r, "/rollouts/"+url.PathEscape(name), http.StatusSeeOther)
	return nil
}
