//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/rollout"
)

// TestLeaderKilled has two servers on one Postgres move several rollouts under load, and kills the one that leads, again
// and again. The other takes over within seconds; the audit is whole, and in it every rollout's transitions are one chain
// in which no step is skipped or entered twice. What operators asked for with a key, through either server, also through
// one that died in the middle of it, was done once.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	kills := 3
	if os.Getenv("HEADGATE_SOAK") != "" {
		kills = 20
	}
	l := newLeaderWorld(t, 4, 60)
	for i := range l.replicas {
		l.replicas[i].Store(l.serve(t))
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for i := range l.replicas {
		load.Go(func() { l.evaluates(ctx, t, i) })
		load.Go(func() { l.reports(ctx, t, i) })
		load.Go(func() { l.reads(ctx, t, i) })
	}
	for i, name := range l.rollouts {
		load.Go(func() { l.operates(ctx, t, name, uint64(i)) })
	}

	start := time.Now()
	rnd := rand.New(rand.NewPCG(5, uint64(kills)))
	var moved []time.Duration
	for range kills {
		led := l.awaitLeader(t, 0)
		<-time.After(time.Duration(rnd.IntN(2000)) * time.Millisecond) // in a tick, or between two
		i := l.replicaOf(led)
		if i < 0 {
			t.Fatalf("nobody has the process %d", led)
		}
		p := l.replicas[i].Load()
		if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		<-p.ended
		l.awaitLeader(t, led)
		moved = append(moved, time.Since(killed))
		l.replicas[i].Store(l.serve(t))
	}
	l.awaitLeader(t, 0)
	<-time.After(2 * time.Second)
	stop()
	load.Wait()
	for i := range l.replicas {
		p := l.replicas[i].Load()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := <-p.ended; err != nil {
			t.Errorf("a server ended with %v:\n%s", err, p.stderr)
		}
	}
	slices.Sort(moved)
	if most := moved[len(moved)-1]; most > 12*time.Second {
		t.Errorf("the lead moved after %s only", most)
	}

	l.headgate(t, 0, "audit", "verify", "--env", "prod")
	transitions, attempts := 0, 0
	for _, name := range l.rollouts {
		n, a := l.chain(t, name)
		transitions, attempts = transitions+n, attempts+a
	}
	acknowledged, replayed := l.acknowledged(t)
	if transitions < 10*len(l.rollouts) || acknowledged == 0 || l.evaluated.Load() == 0 {
		t.Errorf("%d transitions, %d acknowledged, %d evaluations: that is no load", transitions, acknowledged, l.evaluated.Load())
	}
	t.Logf("%s: the leader was killed %d times; the lead moved after %s (median), %s (worst); %d transitions of %d rollouts in %d attempts, each checked against the one before",
		time.Since(start).Round(time.Second), kills, moved[len(moved)/2].Round(10*time.Millisecond), moved[len(moved)-1].Round(10*time.Millisecond), transitions, len(l.rollouts), attempts)
	t.Logf("%d actions acknowledged (%d of them asked for again where no answer came), %d refused, %d evaluations, %d reports, %d reads; %d requests cut off",
		acknowledged, replayed, l.refused.Load(), l.evaluated.Load(), l.reported.Load(), l.read.Load(), l.cut.Load())
}

// A leaderWorld is an app with rollouts that ramp up fast, and two servers on a control database in Postgres.
type leaderWorld struct {
	*world
	db       *control.DB
	rollouts []string
	replicas [2]atomic.Pointer[replica]
	tokens   map[control.Role]string
	client   *http.Client

	evaluated, reported, read, refused, cut atomic.Int64

	mu   sync.Mutex
	acts map[string]outcome // by reason, which no other has
}

// An outcome is what an operator heard.
type outcome struct {
	done, again bool // acknowledged; and asked for again, since no answer came
}

// A replica is a server that listens.
type replica struct {
	*program
	url string
}

const leaderSteps = 8

func newLeaderWorld(t *testing.T, rollouts, stores int) *leaderWorld {
	t.Helper()
	l := &leaderWorld{
		world: &world{t: t, app: copyExample(t), control: postgresSchema(t)}, tokens: map[control.Role]string{},
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}, acts: map[string]outcome{},
	}
	t.Cleanup(l.client.CloseIdleConnections)
	var events, materializers strings.Builder
	for i := range rollouts {
		for _, v := range []string{"v1", "v2"} {
			fmt.Fprintf(&events, "  ramp%d%s: Events.synced({ name: '%s.Ramp%d', schema: Schema.Struct({ id: Schema.String }) }),\n", i, v, v, i)
			fmt.Fprintf(&materializers, "  '%s.Ramp%d': () => [],\n", v, i)
		}
	}
	l.patch(t, "events.ts", "export const events = {\n", events.String())
	l.patch(t, "materializers.ts", "State.SQLite.materializers(events, {\n", materializers.String())

	var yaml, census strings.Builder
	fmt.Fprintf(&yaml, "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  prod:\n    control: %q\n    fleet: {horizon: 30d}\n    stores:\n", l.control)
	census.WriteString("storeId,clientId,release,lastSeen\n")
	for i := range stores {
		id := fmt.Sprintf("store-%02d", i)
		fmt.Fprintf(&yaml, "      - {id: %s, log: \"file:.data/%s/eventlog@6.db\"}\n", id, id)
		if i%2 == 0 { // the others are heard of later
			fmt.Fprintf(&census, "%s,a,1.1.0,%s\n", id, time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
		}
	}
	fmt.Fprintf(&census, "store-00,b,1.1.0,%s\n", time.Now().Add(-40*24*time.Hour).UTC().Format(time.RFC3339)) // since when it is watched
	l.write("headgate.yaml", yaml.String())
	l.write("census.csv", census.String())
	for i := range rollouts {
		name := fmt.Sprintf("ramp%d", i)
		l.rollouts = append(l.rollouts, name)
		text := fmt.Sprintf("events:\n  Ramp%d: {from: v1, to: v2}\nsteps:\n", i)
		for s := range leaderSteps {
			text += fmt.Sprintf("  - {weight: %d, pause: 700ms}\n", (s+1)*100/leaderSteps)
		}
		l.write("headgate/rollouts/"+name+".yaml", text)
	}
	l.record(t, "1.1.0")
	l.headgate(t, 0, "census", "import", "census.csv", "--env", "prod", "--source", "sync")
	for _, role := range []control.Role{control.RoleOperator, control.RoleClient, control.RoleWorker} {
		var made struct{ Token string }
		args := []string{"token", "create", "--role", string(role), "--env", "prod", "--format", "json"}
		if role == control.RoleOperator {
			args = append(args, "--for", "ana")
		}
		out := l.headgate(t, 0, args...)
		if err := json.Unmarshal([]byte(out), &made); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		l.tokens[role] = made.Token
	}
	db, err := control.Open(t.Context(), control.Options{URL: l.control, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	l.db = db
	return l
}

// patch adds to a file of the release.
func (l *leaderWorld) patch(t *testing.T, name, after, text string) {
	t.Helper()
	path := filepath.Join(l.app, "history", "1.1.0", "livestore", name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(after)) {
		t.Fatalf("%s has no %q", path, after)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(after), []byte(after+text), 1), 0o666); err != nil {
		t.Fatal(err)
	}
}

// serve starts a server, and returns when it listens.
func (l *leaderWorld) serve(t *testing.T) *replica {
	t.Helper()
	p := l.start(t, "serve", "--env", "prod", "--listen", "127.0.0.1:0", "--tick", "250ms", "--rate", "1000000")
	p.says(t, "serving prod of todo on http")
	_, at, _ := strings.Cut(p.stderr.String(), "serving prod of todo on ")
	at, _, _ = strings.Cut(at, "\n")
	return &replica{p, at}
}

// awaitLeader waits until a process other than the one that is named has the lead, and returns its id.
func (l *leaderWorld) awaitLeader(t *testing.T, not int) (pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		leases, err := l.db.Leases(t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		for _, lease := range leases {
			if lease.Name != "controller" || !lease.ExpiresAt.After(time.Now()) {
				continue
			}
			for i := range l.replicas {
				if r := l.replicas[i].Load(); strings.Contains(lease.Owner, fmt.Sprintf("/%d/", r.cmd.Process.Pid)) && r.cmd.Process.Pid != not {
					return r.cmd.Process.Pid
				}
			}
		}
	}
	t.Fatal("nobody leads")
	return 0
}

func (l *leaderWorld) replicaOf(pid int) int {
	for i := range l.replicas {
		if l.replicas[i].Load().cmd.Process.Pid == pid {
			return i
		}
	}
	return -1
}

// ask sends a request to a server. One that nobody took has the status 0, one that a kill cut off -1.
func (l *leaderWorld) ask(ctx context.Context, t *testing.T, i int, role control.Role, method, path, key, body string) (status int, answer string) {
	req, err := http.NewRequestWithContext(ctx, method, l.replicas[i].Load().url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Header.Set("Authorization", "Bearer "+l.tokens[role])
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := l.client.Do(req)
	if err == nil {
		defer res.Body.Close()
		var b []byte
		if b, err = io.ReadAll(res.Body); err == nil {
			return res.StatusCode, string(b)
		}
	}
	pauseFor(ctx, 100*time.Millisecond) // it starts again
	if errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
		return 0, ""
	}
	l.cut.Add(1)
	return -1, ""
}

// well counts an answer that must be good.
func well(t *testing.T, status, want int, answer string, count *atomic.Int64) {
	switch status {
	case want:
		count.Add(1)
	case 0, -1:
	default:
		t.Errorf("status %d: %s", status, answer)
	}
}

// evaluates asks for all flags as one of many clients, without a pause.
func (l *leaderWorld) evaluates(ctx context.Context, t *testing.T, i int) {
	for n := 0; ctx.Err() == nil; n++ {
		body := fmt.Sprintf(`{"context":{"targetingKey":"u","storeId":"store-%02d","clientId":"f%d","appVersion":"1.1.0"}}`, n%60, n%7)
		status, answer := l.ask(ctx, t, i, control.RoleClient, http.MethodPost, "/ofrep/v1/evaluate/flags", "", body)
		well(t, status, http.StatusOK, answer, &l.evaluated)
		pauseFor(ctx, 2*time.Millisecond)
	}
}

// reports has more and more stores seen by the sync backend, so that stores open late, too.
func (l *leaderWorld) reports(ctx context.Context, t *testing.T, i int) {
	for n := 0; ctx.Err() == nil; n++ {
		body := fmt.Sprintf(`{"version":1,"dropped":0,"reports":[{"kind":"pull","count":1,"schema":"main","storeId":"store-%02d","clientId":"late","release":"1.1.0"}]}`, (2*(n/40)+1)%60)
		status, answer := l.ask(ctx, t, i, control.RoleWorker, http.MethodPost, "/v1/reports", "", body)
		well(t, status, http.StatusAccepted, answer, &l.reported)
		pauseFor(ctx, 25*time.Millisecond)
	}
}

func (l *leaderWorld) reads(ctx context.Context, t *testing.T, i int) {
	for n := 0; ctx.Err() == nil; n++ {
		path := []string{"/v1/rollouts", "/v1/rollouts/" + l.rollouts[n/4%len(l.rollouts)], "/v1/audit?limit=50", "/v1/flags"}[n%4]
		status, answer := l.ask(ctx, t, i, control.RoleOperator, http.MethodGet, path, "", "")
		well(t, status, http.StatusOK, answer, &l.read)
		pauseFor(ctx, 20*time.Millisecond)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// operates is people who move a rollout, through either server: what ended begins again, what is paused is resumed.
func (l *leaderWorld) operates(ctx context.Context, t *testing.T, name string, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 9))
	for n := 0; ctx.Err() == nil; n++ {
		row, err := l.db.Rollout(ctx, "prod", name)
		if ctx.Err() != nil {
			return
		}
		verb := "start"
		switch phase := row.State.Phase; {
		case err != nil, phase == rollout.Aborted:
		case phase == rollout.PointOfNoReturn:
			verb = "abort"
		case row.State.Paused != nil:
			verb = "resume"
		default:
			verb = []string{"pause", "promote", "pause", "promote", "pause", "abort"}[rnd.IntN(6)]
			if verb == "abort" && rnd.IntN(2) == 0 {
				verb = "promote"
			}
		}
		l.act(ctx, t, name, verb, fmt.Sprintf("%s-%s-%d", name, verb, n), rnd.IntN(2))
		pauseFor(ctx, time.Duration(rnd.IntN(500))*time.Millisecond)
	}
}

// act asks until there is an answer, with one key: first one server, and when its answer is lost both in turn.
func (l *leaderWorld) act(ctx context.Context, t *testing.T, name, verb, reason string, i int) {
	o := outcome{}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.acts[reason] = o
	}()
	body, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		t.Error(err)
		return
	}
	ctx = context.WithoutCancel(ctx) // what was begun is asked for until it is known
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && t.Context().Err() == nil; i = 1 - i {
		status, answer := l.ask(ctx, t, i, control.RoleOperator, http.MethodPost, "/v1/rollouts/"+name+"/"+verb, reason, string(body))
		switch {
		case status <= 0:
			o.again = true
			continue
		case status == http.StatusOK:
			o.done = true
			return
		case status == http.StatusLocked && strings.Contains(answer, "Idempotency-Key"): // the server that was at it may have died
			<-time.After(200 * time.Millisecond)
			continue
		case status == http.StatusConflict && strings.Contains(answer, "was carried out"):
			o.done = true
			return
		case (verb == "abort" || verb == "pause") && status == http.StatusLocked:
			t.Errorf("%s was held: %s", verb, answer)
		case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusLocked: // somebody was faster
		default:
			t.Errorf("%s %s: status %d: %s", verb, name, status, answer)
		}
		l.refused.Add(1)
		return
	}
	t.Errorf("%s: no answer", reason)
}

// A step is where a rollout is, as the audit has it.
type auditStep struct {
	From, To     rollout.Phase
	Step, Opened int
	Revision     int
	Reasons      []string
	action       string
}

// chain follows a rollout's transitions in the audit, each of which must begin where the one before ended.
func (l *leaderWorld) chain(t *testing.T, name string) (transitions, attempts int) {
	t.Helper()
	var at auditStep
	opened := map[int]int{} // stores, by attempt
	entered := map[string]int{}
	for e, err := range l.db.Audit(t.Context(), "prod", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		action, ok := strings.CutPrefix(e.Action, "rollout.")
		if !ok || e.Subject != name {
			continue
		}
		if transitions++; action == "create" {
			if transitions != 1 {
				t.Errorf("entry %d: %s is created again", e.Seq, name)
			}
			at.To = rollout.Draft
			continue
		}
		next := auditStep{action: action}
		if err := json.Unmarshal(e.Detail, &next); err != nil {
			t.Fatal(err)
		}
		if action == "start" {
			attempts++
			clear(entered)
		}
		opened[attempts] += next.Opened
		if why := follows(at, next); why != "" {
			t.Errorf("entry %d: %s: %s: %+v after %+v", e.Seq, name, why, next, at)
		}
		if next.To != at.To || next.Step != at.Step {
			place := fmt.Sprint(next.To, next.Step)
			if entered[place]++; entered[place] > 1 {
				t.Errorf("entry %d: %s enters %s again", e.Seq, name, place)
			}
		}
		at = next
	}
	row, err := l.db.Rollout(t.Context(), "prod", name)
	if err != nil {
		t.Fatal(err)
	}
	// Each transition raises the version, and nothing else does.
	if row.Version != int64(transitions) || row.State.Phase != at.To || row.State.Revision != at.Revision || row.State.Attempt != attempts {
		t.Errorf("%s: version %d after %d entries, %+v, the audit ends with %+v", name, row.Version, transitions, row.State, at)
	}
	for attempt := 1; attempt <= attempts; attempt++ {
		stores, err := l.db.OpenedStores(t.Context(), "prod", name, attempt)
		if err != nil || len(stores) != opened[attempt] {
			t.Errorf("%s: attempt %d opened %d stores, by the audit %d: %v", name, attempt, len(stores), opened[attempt], err)
		}
	}
	published, err := l.db.PublishedFlags(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range published {
		if f.Rollout == name && f.Revision != row.State.Revision {
			t.Errorf("%s: the flag has revision %d, the rollout %d", name, f.Revision, row.State.Revision)
		}
	}
	return transitions, attempts
}

// follows says why one transition can't come after the other, or "".
func follows(at, next auditStep) string {
	stays := next.To == at.To && next.Step == at.Step
	up := next.From == rollout.Ramp && next.To == rollout.Ramp && next.Step == at.Step+1
	ways := map[rollout.Phase]rollout.Phase{
		rollout.ReadersShipping: rollout.ReaderGate, rollout.ReaderGate: rollout.Ramp, rollout.Ramp: rollout.PointOfNoReturn,
	}
	on := up || ways[next.From] == next.To && (next.To == rollout.Ramp || next.To == rollout.ReaderGate) && next.Step == 1 ||
		next.From == rollout.Ramp && next.To == rollout.PointOfNoReturn && at.Step == leaderSteps && next.Step == at.Step
	fits := map[string]bool{
		"start": next.To == rollout.ReadersShipping, "advance": on, "promote": on, "open": stays, "pause": stays, "resume": stays,
		"abort": next.To == rollout.Aborted && next.Step == at.Step,
	}
	switch {
	case next.From != at.To:
		return "it does not begin where the one before ended"
	case !fits[next.action]:
		return "it is no step from there"
	case next.Revision < at.Revision || next.Revision > at.Revision+1:
		return "the revision jumps"
	}
	return ""
}

// acknowledged holds what operators heard against the audit.
func (l *leaderWorld) acknowledged(t *testing.T) (done, again int) {
	t.Helper()
	times := map[string]int{}
	for e, err := range l.db.Audit(t.Context(), "prod", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		var d struct{ Reasons []string }
		if err := json.Unmarshal(e.Detail, &d); err != nil {
			t.Fatal(errors.Join(err, errors.New(e.Action)))
		}
		for _, reason := range d.Reasons {
			times[reason]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(l.acts)) {
		o := l.acts[reason]
		switch n := times[reason]; {
		case o.done && n != 1, n > 1:
			t.Errorf("%s is %d times in the audit, the operator heard %+v", reason, n, o)
		case o.done:
			done++
			if o.again {
				again++
			}
		}
	}
	return done, again
}
