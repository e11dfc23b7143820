package server

import (
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headgate/cmd/headgate/internal/operate"
	"headgate/cmd/headgate/internal/remote"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

func (w *world) client(t *testing.T, change func(*remote.Options)) *remote.Client {
	t.Helper()
	_, secret := w.token(t, control.Token{Role: control.RoleApprover, Person: "ana"})
	keys := 0
	o := remote.Options{
		URL: w.url, Token: secret, Environment: "prod", HTTP: http.DefaultClient, Now: w.now, Log: slog.New(slog.DiscardHandler),
		NewKey: func() string { keys++; return fmt.Sprint(t.Name(), secret[:8], keys) },
	}
	if change != nil {
		change(&o)
	}
	c, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRemoteIsTheSame does each operation on the control database and through the server, and wants the same values, and the
// same failures. What changes something is done without doing it, or twice with the same end.
func TestRemoteIsTheSame(t *testing.T) {
	w := newWorld(t, nil)
	w.seed(t)
	w.prepare(t)
	here, there := w.Operate, w.client(t, nil)
	ctx, by := t.Context(), control.By{Actor: "ana", Reason: "test"}
	digest := "sha256-" + strings.Repeat("b", 64)
	same := func(what string, a, b any, errA, errB error) {
		t.Helper()
		if diff := cmp.Diff(a, b, cmpopts.EquateApproxTime(time.Second), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s, here and there:\n%s", what, diff)
		}
		e, f := errs.As(errA), errs.As(errB)
		if (errA == nil) != (errB == nil) || e != nil && (f == nil || e.Code != f.Code || e.Msg != f.Msg || e.Hint != f.Hint || e.Where != f.Where || fmt.Sprint(e.Next) != fmt.Sprint(f.Next)) {
			t.Errorf("%s fails with %#v here, and %#v there", what, errA, errB)
		}
	}
	for _, name := range append(actions(), "nope", "../nope") {
		for _, logs := range []bool{false, true} {
			a, errA := here.RolloutStatus(ctx, name, logs)
			b, errB := there.RolloutStatus(ctx, name, logs)
			same("status "+name, a, b, errA, errB)
		}
		c, errC := here.RolloutCheck(ctx, name)
		d, errD := there.RolloutCheck(ctx, name)
		same("check "+name, c, d, errC, errD)
		for _, limit := range []int{0, 1} {
			e, errE := here.RolloutHistory(ctx, name, 0, limit)
			f, errF := there.RolloutHistory(ctx, name, 0, limit)
			same("history "+name, e, f, errE, errF)
		}
		for _, command := range []rollout.Command{rollout.Start, rollout.Hold, rollout.Resume, rollout.Promote, rollout.Finish, rollout.Approve, rollout.Abort, rollout.Undo} {
			for _, force := range []bool{false, true} {
				ask := operate.RolloutAsk{Command: command, Force: force, DryRun: true}
				a, errA := here.RolloutAct(ctx, name, ask, by)
				b, errB := there.RolloutAct(ctx, name, ask, by)
				same(string(command)+" "+name, a, b, errA, errB)
			}
		}
	}
	list, errA := here.RolloutList(ctx)
	listed, errB := there.RolloutList(ctx)
	same("list", list, listed, errA, errB)
	{
		a, errA := here.Status(ctx)
		b, errB := there.Status(ctx)
		same("the environment's status", a, b, errA, errB)
	}
	for _, migration := range []string{"", "00001_dates", "nope"} {
		a, errA := here.LastRuns(ctx, migration)
		b, errB := there.LastRuns(ctx, migration)
		same("last runs", a, b, errA, errB)
	}
	for _, action := range []operate.Action{operate.Resume, operate.Pause, operate.Pause, operate.Cancel, operate.Cancel} {
		_, errA := here.Ask(ctx, action, "nope", by)
		_, errB := there.Ask(ctx, action, "nope", by)
		same(string(action), nil, nil, errA, errB)
	}
	if runs, err := there.Ask(ctx, operate.Pause, "00001_dates", by); err != nil || len(runs) != 3 || runs[0].State != control.Paused {
		t.Errorf("%+v, %v", runs, err)
	}
	for _, release := range []string{"1.1.0", "1.1.0", "none", "newest"} {
		for _, dry := range []bool{true, false} {
			a, errA := here.SetFloor(ctx, release, by, dry)
			b, errB := there.SetFloor(ctx, release, by, dry)
			same("floor "+release, a, b, errA, errB)
		}
		a, errA := here.Floor(ctx)
		b, errB := there.Floor(ctx)
		same("the floor", a, b, errA, errB)
	}
	for _, within := range []time.Duration{0, time.Hour, 90 * 24 * time.Hour} {
		a, errA := here.Census(ctx, within)
		b, errB := there.Census(ctx, within)
		same("census", a, b, errA, errB)
		x, errA := here.Signals(ctx, within)
		y, errB := there.Signals(ctx, within)
		x.Since = y.Since // a slot may have begun
		same("signals", x, y, errA, errB)
	}
	for _, q := range []operate.FlagQuestion{{Flag: "TodoCreated", AppVersion: "1.5.0"}, {Flag: "event.TodoCreated", Store: "s1"}, {Flag: "nope"}, {Flag: "TodoCreated", Store: "nope"}} {
		a, errA := here.EvaluateFlagOf(ctx, w.flags.current(), q)
		b, errB := there.EvaluateFlag(ctx, q)
		same("flag "+q.Flag, a, b, errA, errB)
	}
	for _, revision := range []string{"1", "13"} {
		_, changed := w.flags.Revision()
		w.write(strings.Replace(percent("25"), "revision: 1", "revision: "+revision, 1))
		<-changed
		a, errA := exported(here, w.flags.current())
		b, errB := there.FlagsExport(ctx)
		same("the exported flags", string(a), string(b), errA, errB)
	}
	for _, schema := range []string{"", "main", "other"} {
		a, errA := here.StoreList(ctx, schema)
		b, errB := there.StoreList(ctx, schema)
		same("the stores", a, b, errA, errB)
	}
	for _, id := range []string{"s1", "s2", "a/b c", "nope"} {
		a, errA := here.StoreShow(ctx, id)
		b, errB := there.StoreShow(ctx, id)
		same("the store "+id, a, b, errA, errB)
		_, errA = here.StoreForget(ctx, id, control.By{Actor: "ana"})
		_, errB = there.StoreForget(ctx, id, control.By{})
		same("forget "+id+" without a reason", nil, nil, errA, errB)
		c, errC := here.StoreForget(ctx, id, by)
		d, errD := there.StoreForget(ctx, id, by)
		c.Forgotten.Head, c.Forgotten.BackendID = 0, "" // forgotten the first time
		same("forget "+id, c, d, errC, errD)
	}
	for range 2 {
		a, errA := here.Webhook(ctx)
		b, errB := there.Webhook(ctx)
		same("the webhook", a, b, errA, errB)
		c, errC := here.RetryWebhook(ctx, by)
		d, errD := there.RetryWebhook(ctx, by)
		same("tell it again", c, d, errC, errD)
	}
	for _, action := range append(operate.IncidentActions(), "reopen") {
		note := operate.IncidentNote{Schema: "main", Selection: "v1.X", Left: []string{"verify"}}
		for _, incident := range []string{"2027-01-31-v1.X", " ", strings.Repeat("x", 201)} {
			a, errA := here.RecordIncident(ctx, incident, action, note, by)
			b, errB := there.RecordIncident(ctx, incident, action, note, by)
			same("record "+action+" of "+incident, a, b, errA, errB)
		}
	}
	for _, ask := range []operate.ResetAsk{
		{Stores: []livestore.StoreID{"s1", "s2"}, PerHour: 3, DryRun: true},
		{All: true, PerHour: 1, Schema: "other", DryRun: true},
		{Stores: []livestore.StoreID{"s1"}, All: true, PerHour: 1},
		{Stores: []livestore.StoreID{"s1"}, Schema: "main", PerHour: 1},
		{PerHour: 1},
		{Stores: []livestore.StoreID{"s1"}},
		{Stores: []livestore.StoreID{"s1"}, PerHour: 1},
	} {
		a, errA := here.ArmReset(ctx, ask, by)
		b, errB := there.ArmReset(ctx, ask, by)
		same(fmt.Sprintf("arm %+v", ask), a, b, errA, errB)
	}
	for _, d := range []string{digest, digest, "nope"} {
		a, errA := here.ApprovePlan(ctx, d, "", by)
		b, errB := there.ApprovePlan(ctx, d, "", by)
		same("approve", a, b, errA, errB)
		e, errE := here.PlanApprovals(ctx, d)
		f, errF := there.PlanApprovals(ctx, d)
		same("approvals", e, f, errE, errF)
	}
	for _, dry := range []bool{true, false} {
		for _, perHour := range []int{0, 7, -1} {
			a, errA := here.FireReset(ctx, perHour, by, dry)
			b, errB := there.FireReset(ctx, perHour, by, dry)
			a.Opening, a.FiredBy, b.FiredBy = nil, "", "" // the second one finds nothing due, and names the token
			b.Opening = nil
			same("fire the reset", a, b, errA, errB)
		}
	}
	{
		a, errA := here.Reset(ctx)
		b, errB := there.Reset(ctx)
		same("the reset", a, b, errA, errB)
		if r, err := there.CancelReset(ctx, by); err != nil || r.State != control.ResetCancelled || r.Opened != 7 {
			t.Errorf("%+v, %v", r, err)
		}
		_, errA = here.CancelReset(ctx, by)
		_, errB = there.CancelReset(ctx, by)
		same("cancel the reset", nil, nil, errA, errB)
	}
	for _, dry := range []bool{true, false} {
		a, errA := here.Stop(ctx, by, dry)
		b, errB := there.Stop(ctx, by, dry)
		if !dry {
			a.Aborted, b.Aborted = nil, nil // the second one finds nothing left
			a.Remains, b.Remains = nil, nil
		}
		same("stop", a, b, errA, errB)
	}
	_, errB = there.Stop(ctx, control.By{Actor: "ana"}, false)
	_, errA = here.Stop(ctx, control.By{Actor: "ana"}, false)
	same("stop without a reason", nil, nil, errA, errB)
	a, errA := here.Lift(ctx, by)
	if _, err := here.Stop(ctx, by, false); err != nil {
		t.Fatal(err)
	}
	b, errB := there.Lift(ctx, by)
	same("lift", a, b, errA, errB)
	_, errA = here.Lift(ctx, by)
	_, errB = there.Lift(ctx, by)
	same("lift twice", nil, nil, errA, errB)
	for _, limit := range []int{0, 3} {
		a, errA := here.Audit(ctx, 2, w.now().Add(-time.Hour), limit)
		b, errB := there.Audit(ctx, 2, w.now().Add(-time.Hour), limit)
		same("audit", a, b, errA, errB)
	}
	c, errC := here.VerifyAudit(ctx)
	d, errD := there.VerifyAudit(ctx)
	same("audit verify", c, d, errC, errD)
}

// exported is what the command line exports.
func exported(r operate.Rollouts, file *rollout.File) ([]byte, error) {
	if err := r.Exportable(file); err != nil {
		return nil, err
	}
	return file.Flagd()
}

// TestRemoteStores: a list of several pages is whole, and an answer is the file itself.
func TestRemoteStores(t *testing.T) {
	w := newWorld(t, nil)
	var stores []control.Store
	for i := range 1201 {
		stores = append(stores, control.Store{ID: fmt.Sprintf("s%04d", i), Schema: "main", State: control.StoreActive})
	}
	if _, err := w.Operate.DB.Sync(t.Context(), "prod", control.Values(stores), control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	got, err := w.client(t, nil).StoreList(t.Context(), "")
	if err != nil || got.Environment != "prod" || len(got.Stores) != len(stores) || got.Stores[1200].ID != "s1200" {
		t.Errorf("%d stores, %v", len(got.Stores), err)
	}
	_, secret := w.token(t, control.Token{Role: control.RoleViewer})
	file, err := w.flags.current().Flagd()
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := w.ask(t, http.MethodGet, "/v1/flags/export", secret, ""); status != 200 || body != string(file) {
		t.Errorf("%d %s", status, body)
	}
}

// TestArmRefusesUnsaidLoss: who arms over HTTP says that something may be lost, too.
func TestArmRefusesUnsaidLoss(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleOperator})
	status, _, body := w.ask(t, http.MethodPost, "/v1/reset/arm", secret, `{"stores":["s1"],"perHour":1,"reason":"damaged"}`)
	if status != http.StatusConflict || !strings.Contains(body, "acceptLoss is not true") {
		t.Errorf("%d %s", status, body)
	}
	if r, err := w.Operate.Reset(t.Context()); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRemoteImport sends many clients in batches, and nothing where one is wrong.
func TestRemoteImport(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, nil)
	const n = 6000
	clients := func(last error) iter.Seq2[control.Client, error] {
		return func(yield func(control.Client, error) bool) {
			for i := range n {
				k := control.Client{Store: fmt.Sprint("s", i%50), ID: fmt.Sprint("c", i), Release: "1.1.0", LastSeen: w.now(), Source: rollout.FromImport}
				if !yield(k, nil) {
					return
				}
			}
			if last != nil {
				yield(control.Client{}, last)
			}
		}
	}
	if _, err := c.Import(t.Context(), "x.csv", clients(errs.Invalidf("line 6002 is wrong")), control.By{}); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("%v", err)
	}
	if r, err := w.Operate.Census(t.Context(), 0); err != nil || r.Clients != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	got, err := c.Import(t.Context(), "x.csv", clients(nil), control.By{})
	if err != nil || got.Clients != n {
		t.Errorf("%+v, %v", got, err)
	}
	if r, err := w.Operate.Census(t.Context(), 0); err != nil || r.Clients != n {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRemoteFailures: what goes wrong on the way says so, and what may be done twice is done once.
func TestRemoteFailures(t *testing.T) {
	w := newWorld(t, nil)
	w.seed(t)
	fails := func(what string, c *remote.Client, code errs.Code, text string) {
		t.Helper()
		_, err := c.Status(t.Context())
		if errs.CodeOf(err) != code || !strings.Contains(err.Error()+" "+errs.As(err).Hint, text) {
			t.Errorf("%s: %#v", what, err)
		}
	}
	fails("another environment", w.client(t, func(o *remote.Options) { o.Environment = "staging" }), errs.Invalid, "is for the environment prod, not staging")
	fails("no token", w.client(t, func(o *remote.Options) { o.Token = "" }), errs.Unauthorized, "HEADGATE_TOKEN has it")
	fails("a wrong one", w.client(t, func(o *remote.Options) { o.Token = "hg_x" }), errs.Unauthorized, "the token is not known")
	fails("no server", w.client(t, func(o *remote.Options) { o.URL = "http://127.0.0.1:1" }), errs.Internal, "does not answer")
	fails("another path", w.client(t, func(o *remote.Options) { o.URL += "/elsewhere" }), errs.NotFound, "there is no GET /elsewhere/v1/status")
	for _, address := range []string{"", "127.0.0.1:7431", "ftp://x", "http://", "https://user:secret@host", "http://x?y"} {
		if _, err := remote.New(remote.Options{URL: address}); errs.CodeOf(err) != errs.Invalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
	// The connection breaks after the server has done it: the same key comes again.
	lose := &losing{RoundTripper: http.DefaultTransport}
	c := w.client(t, func(o *remote.Options) { o.HTTP = &http.Client{Transport: lose} })
	runs, err := c.Ask(t.Context(), operate.Pause, "", control.By{})
	if err != nil || len(runs) != 3 || lose.asked != 2 {
		t.Errorf("%d, %v after %d requests", len(runs), err, lose.asked)
	}
	typed := w.client(t, func(o *remote.Options) { o.Next = func(command string) string { return command + " --server x" } })
	if s, err := typed.Status(t.Context()); err != nil || len(s.NextActions) == 0 || !strings.HasSuffix(s.NextActions[0], " --server x") || !strings.HasSuffix(s.Runs[0].NextActions[0], " --server x") {
		t.Errorf("%+v, %v", s.NextActions, err)
	}
}

// losing loses the first answer.
type losing struct {
	http.RoundTripper
	asked int
}

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if l.asked++; l.asked == 1 && err == nil {
		res.Body.Close()
		return nil, fmt.Errorf("the connection was reset")
	}
	return res, err
}
