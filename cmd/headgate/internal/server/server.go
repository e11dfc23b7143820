package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/dashboard"
	"headgate/cmd/headgate/internal/operate"
	"headgate/cmd/headgate/internal/webhook"
	"headgate/internal/errs"
	"headgate/rollout/ofrep"
)

// Options say what is served, and where.
type Options struct {
	Operate operate.Rollouts // of the environment
	App     string
	Version string   // of headgate
	Flags   FlagFile // of the app

	Listen        string // HOST:PORT
	Cert, Key     string // files; both empty for HTTP
	InsecureHTTP  bool   // on an address that others reach, without TLS
	NoAuth        bool   // everyone may do everything; on a loopback address only
	RatePerSecond int    // of each address, for flags

	// Work takes part in the runs of the environment until the context ends; nil for not.
	Work func(context.Context) error
	// Webhook tells what happens; nil for nobody.
	Webhook *webhook.Sender
	// Lead calls work while this server is the one that ticks, until the context ends; nil where it always is.
	Lead func(ctx context.Context, work func(context.Context) error) error
	// Tick is called every TickEvery, never twice at a time; nil for never. An error is logged.
	Tick      func(context.Context) error
	TickEvery time.Duration
	// Ready is called with the address once the server listens.
	Ready func(url string)

	Log *slog.Logger
}

// The server's own limits.
const (
	headerTime   = 5 * time.Second // to send a header
	readTime     = 30 * time.Second
	writeTime    = 60 * time.Second
	idleTime     = 2 * time.Minute
	headerBytes  = 16 << 10
	connections  = 8192
	streams      = 4096
	heartbeat    = 15 * time.Second
	streamJitter = 400 * time.Millisecond
	lookEvery    = 500 * time.Millisecond
	drainTime    = 10 * time.Second
	answerTime   = 45 * time.Second // for a request of the API, before the connection's own time is over

	failuresPerSecond = 1 // of each address, to present a token; more are told to wait, whoever has a valid one never
	failuresAtOnce    = 20
)

// A Server serves an environment.
type Server struct {
	Options
	door     *door
	flags    *flagSet
	ofrep    *ofrep.Handler
	failures *limiter
	asked    *limiter
	pages    *dashboard.Dashboard
	meters   *meters
	counter  *counter
	patience time.Duration // answerTime; tests have less
	counting chan struct{} // has room for the one request that reads the stores' logs
	handler  http.Handler
}

// Run serves until the context ends, then lets requests under way end and drains the streams.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.flags.close()) }()
	l, err := s.listen()
	if err != nil {
		return err
	}
	h := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	h.RegisterOnShutdown(s.ofrep.Drain)
	h.RegisterOnShutdown(s.pages.Drain)
	err = s.together(ctx, h, l)
	s.counter.try(context.WithoutCancel(ctx)) // what came until the last request had ended
	return err
}

// together is everything that the server does at a time; when one part fails the others end.
func (s *Server) together(ctx context.Context, h *http.Server, l net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		s.Ready(s.url(l.Addr()))
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return errs.New(errs.Internal, "the server ended").Because(err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if err := h.Shutdown(end); err != nil {
			s.Log.Warn("requests were cut off", "error", err)
			return h.Close()
		}
		return nil
	})
	g.Go(func() error { return s.flags.follow(ctx, lookEvery) })
	g.Go(func() error { return s.counter.run(ctx) })
	g.Go(func() error { return s.flags.audience.follow(ctx) })
	if s.Work != nil {
		g.Go(func() error { return s.Work(ctx) })
	}
	if s.Webhook != nil {
		s.Webhook.Counted = func(result string) { s.meters.webhook.WithLabelValues(result).Inc() }
		g.Go(func() error { return s.Webhook.Run(ctx) })
	}
	if s.Tick != nil {
		if s.Lead == nil {
			g.Go(func() error { return s.tick(ctx) })
		} else {
			g.Go(func() error { return s.Lead(ctx, s.tick) })
		}
	}
	return g.Wait()
}

func (s *Server) tick(ctx context.Context) error {
	t := time.NewTicker(s.TickEvery)
	defer t.Stop()
	for {
		if err := s.Tick(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("a tick failed", "error", err)
		}
		s.flags.ring()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func open(ctx context.Context, o Options) (*Server, error) {
	o.Operate.Told = func(err error) string { return told(o.Operate, err) }
	env := o.Operate
	flags, err := openFlags(ctx, o.Flags, env.DB, env.Name, env.Now, o.Log)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Options: o, door: newDoor(env.DB, env.Name, env.Now), flags: flags,
		failures: newLimiter(failuresPerSecond, failuresAtOnce, env.Now),
		asked:    newLimiter(float64(o.RatePerSecond), float64(2*o.RatePerSecond), env.Now),
		counting: make(chan struct{}, 1), patience: answerTime,
	}
	s.ofrep = ofrep.New(ofrep.Options{
		Flags: flags, Access: access{s.door}, Log: o.Log, Now: env.Now, Listeners: streams, Heartbeat: heartbeat,
		Jitter: func() time.Duration { return mathrand.N(streamJitter) },
	})
	s.meters = newMeters(s.ofrep.Streams)
	s.meters.registry.MustRegister(webhookState{s})
	flags.audience = newAudience(env, s.meters.contexts)
	s.counter = s.newCounter()
	s.pages = s.newDashboard()
	s.handler = s.router()
	return s, nil
}

// check refuses what would expose an environment.
func (o Options) check() error {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return errs.Invalidf("--listen %s is not HOST:PORT", o.Listen).Hintf("write 127.0.0.1:7431")
	}
	local := loopback(host)
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return errs.Invalidf("--tls-cert and --tls-key go together")
	case !local && o.NoAuth:
		return errs.Refusedf("without tokens the server listens on a loopback address only, and %s is none", o.Listen)
	case !local && o.Cert == "" && !o.InsecureHTTP:
		return errs.Refusedf("tokens would cross the network in the clear: %s is no loopback address", o.Listen).
			Hintf("give --tls-cert and --tls-key, or --insecure-http when something in front of it ends TLS")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Server) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, errs.New(errs.Internal, "can't listen on %s", s.Listen).Because(err).Hintf("is another server there? --listen names another address")
	}
	l = bounded(l, connections)
	if s.Cert == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, errors.Join(errs.Invalidf("the certificate can't be used").At("%s", s.Cert).Because(err), l.Close())
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), nil
}

func (s *Server) url(a net.Addr) string {
	if s.Cert == "" {
		return "http://" + a.String()
	}
	return "https://" + a.String()
}

// router is the handler of all routes.
func (s *Server) router() http.Handler {
	mux := http.NewServeMux()
	preflights := map[string]bool{}
	for _, rt := range routes() {
		var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.enter(rt, w, r) })
		if rt.pages {
			h = ofrep.CORS(h)
			if !preflights[rt.path] {
				preflights[rt.path] = true
				mux.Handle("OPTIONS "+rt.path, h)
			}
		}
		mux.Handle(rt.pattern(), h)
	}
	s.pages.Mount(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, errs.NotFoundf("there is no %s %s", r.Method, r.URL.Path).Hintf("GET /v1/openapi.json describes what there is"))
	})
	return s.observe(mux)
}

// enter lets a request in to its route, when it may.
func (s *Server) enter(rt route, w http.ResponseWriter, r *http.Request) {
	if rt.limited {
		if wait := s.asked.take(address(r)); wait > 0 {
			s.tooMany(rt, w, r, wait)
			return
		}
	}
	if rt.needs != public && !s.NoAuth {
		ctx, err := s.admit(rt, r)
		if errs.CodeOf(err) == errs.Unauthorized { // others behind the same address may have good tokens
			if wait := s.failures.take(address(r)); wait > 0 {
				s.tooMany(rt, w, r, wait)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="headgate"`)
		}
		if err != nil {
			s.refuse(rt, w, r, err)
			return
		}
		r = r.WithContext(ctx)
	}
	if s.NoAuth && !rt.pages {
		if err := sameOrigin(r); err != nil {
			s.refuse(rt, w, r, err)
			return
		}
	}
	if rt.serve != nil {
		rt.serve(s, w, r)
		return
	}
	if err := s.call(rt, w, r); err != nil {
		s.fail(w, r, err)
	}
}

// admit finds out who calls, and whether they may.
func (s *Server) admit(rt route, r *http.Request) (context.Context, error) {
	ctx := r.Context()
	find := s.door.bySecret
	proof := secretOf(r)
	if proof == "" && rt.path == ofrep.StreamPath {
		find, proof = s.door.byTicket, r.URL.Query().Get(ofrep.TicketParam)
	}
	if proof == "" {
		return nil, errs.New(errs.Unauthorized, "there is no token").Hintf("send it as Authorization: Bearer TOKEN")
	}
	t, err := find(ctx, proof)
	if err == nil {
		err = may(t, s.App, rt.needs)
	}
	return withCaller(ctx, t), err
}

// sameOrigin refuses what a page from elsewhere has a browser send to a server without tokens, also under a name that
// was made to point here.
func sameOrigin(r *http.Request) error {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if !loopback(host) {
		return errs.New(errs.Forbidden, "without tokens the server answers under a loopback address only, not as %q", r.Host)
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return errs.New(errs.Forbidden, "the request comes from a page of another origin")
	}
	return nil
}

func (s *Server) tooMany(rt route, w http.ResponseWriter, r *http.Request, wait time.Duration) {
	retryAfter(w, wait)
	s.refuse(rt, w, r, errs.New(api.RateLimited, "too many requests from this address").Hintf("wait as long as Retry-After says"))
}

// refuse answers a request that is not let in.
func (s *Server) refuse(rt route, w http.ResponseWriter, r *http.Request, err error) {
	if rt.protocol {
		p := problemOf(err, requestID(r.Context()))
		s.note(r, err, p)
		ofrep.Refuse(w, p.Status, r.PathValue("key"), p.Detail)
		return
	}
	s.fail(w, r, err)
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err, requestID(r.Context()))
	s.note(r, err, p)
	writeProblem(w, p)
}

// note logs an error that only the log may name.
func (s *Server) note(r *http.Request, err error, p api.Problem) {
	if p.Status == http.StatusInternalServerError {
		s.Log.ErrorContext(r.Context(), "a request failed", "request", p.RequestID, "error", err)
	}
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
}

// readyz tells whether the server can answer. Flags that are not the latest are said and leave it ready: all servers would
// go away at once otherwise, with the last good flags that they have.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status, said := http.StatusOK, map[string]string{"status": "ready", "flags": "in force"}
	if err := s.flags.trouble(); err != nil {
		said["flags"] = "the last good ones are in force: " + problemOf(err, "see the log").Detail
	}
	if _, err := s.Operate.DB.Leases(ctx, s.Operate.Name); err != nil {
		s.Log.WarnContext(ctx, "the control database can't be reached", "error", err)
		status, said["status"], said["control"] = http.StatusServiceUnavailable, "not ready", "the control database can't be reached"
	}
	writeJSON(w, status, "application/json", said)
}

type requestKey struct{}

// requestID names the request in the log and in its answer.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

func newRequestID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// observe names, measures and logs requests. Of an address it logs the path alone: its parameters may be tickets.
func (s *Server) observe(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, id := s.Operate.Now(), newRequestID()
		w.Header().Set("X-Request-Id", id)
		seen := &answer{ResponseWriter: w, status: http.StatusOK}
		inner := r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("a request crashed the handler", "request", id, "path", r.URL.Path, "panic", fmt.Sprint(p))
				if !seen.begun {
					writeProblem(seen, problemOf(errors.New("crashed"), id))
				}
			}
			took := s.Operate.Now().Sub(start)
			s.meters.request(inner.Pattern, seen.status, took)
			s.Log.Info("request", "request", id, "method", r.Method, "path", r.URL.Path, "status", seen.status, "took", took, "from", address(r))
		}()
		mux.ServeHTTP(seen, inner)
	})
}

// An answer remembers the status that was written.
type answer struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (a *answer) WriteHeader(status int) {
	if !a.begun {
		a.status, a.begun = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
