package cli

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/cmd/headgate/internal/remote"
	"headgate/internal/control"
	"headgate/internal/errs"
)

// operations are what commands do with an environment, on its control database (operate.Rollouts) or through its server
// (remote.Client). Who acts is what the command says in the one case, and the token's owner in the other.
type operations interface {
	rolloutOperations
	runOperations
	fleetOperations
	storeOperations
	brakeOperations
	resetOperations
	recordOperations
	tokenOperations
}

type rolloutOperations interface {
	RolloutList(ctx context.Context) ([]operate.RolloutLine, error)
	RolloutStatus(ctx context.Context, name string, logs bool) (operate.RolloutStatus, error)
	RolloutCheck(ctx context.Context, name string) (operate.RolloutCheck, error)
	RolloutAct(ctx context.Context, name string, ask operate.RolloutAsk, by control.By) (operate.RolloutResult, error)
	RolloutHistory(ctx context.Context, name string, after int64, limit int) (operate.Trail, error)
}

type runOperations interface {
	Status(ctx context.Context) (operate.Status, error)
	LastRuns(ctx context.Context, migration string) ([]operate.RunStatus, error)
	UndoneRuns(ctx context.Context) ([]operate.RunStatus, error)
	Ask(ctx context.Context, a operate.Action, migration string, by control.By) ([]operate.RunStatus, error)
}

type fleetOperations interface {
	Census(ctx context.Context, within time.Duration) (operate.Census, error)
	StoreClients(ctx context.Context, id string) (operate.StoreClients, error)
	SeenStores(ctx context.Context) ([]control.SeenStore, error)
	Import(ctx context.Context, source string, clients iter.Seq2[control.Client, error], by control.By) (operate.Import, error)
	Signals(ctx context.Context, within time.Duration) (operate.SignalReport, error)
	Floor(ctx context.Context) (operate.FloorSetting, error)
	SetFloor(ctx context.Context, release string, by control.By, dryRun bool) (operate.FloorChange, error)
	EvaluateFlag(ctx context.Context, q operate.FlagQuestion) ([]operate.Evaluated, error)
}

type storeOperations interface {
	StoreList(ctx context.Context, schema string) (operate.KnownStores, error)
	StoreShow(ctx context.Context, id string) (operate.KnownStore, error)
	StoreForget(ctx context.Context, id string, by control.By) (operate.ForgottenStore, error)
	Webhook(ctx context.Context) (operate.WebhookReport, error)
	RetryWebhook(ctx context.Context, by control.By) (operate.WebhookRetry, error)
}

type brakeOperations interface {
	Stop(ctx context.Context, by control.By, dryRun bool) (operate.StopReport, error)
	Lift(ctx context.Context, by control.By) (operate.LiftReport, error)
}

type resetOperations interface {
	Reset(ctx context.Context) (operate.ResetReport, error)
	ArmReset(ctx context.Context, ask operate.ResetAsk, by control.By) (operate.ResetReport, error)
	FireReset(ctx context.Context, perHour int, by control.By, dryRun bool) (operate.ResetReport, error)
	CancelReset(ctx context.Context, by control.By) (operate.ResetReport, error)
}

type recordOperations interface {
	Audit(ctx context.Context, after int64, since time.Time, limit int) (operate.Trail, error)
	VerifyAudit(ctx context.Context) (control.AuditCheck, error)
	ApprovePlan(ctx context.Context, digest, text string, by control.By) (control.Approval, error)
	PlanApprovals(ctx context.Context, digest string) ([]control.Approval, error)
	HoldIncident(ctx context.Context, incident, owner string, fence int64) (control.Lease, error)
	ReleaseIncident(ctx context.Context, incident, owner string, fence int64) error
	RecordIncident(ctx context.Context, incident, action string, note operate.IncidentNote, by control.By) (operate.IncidentRecord, error)
}

type tokenOperations interface {
	Tokens(ctx context.Context) (operate.TokenList, error)
	CreateToken(ctx context.Context, want control.Token, by control.By) (operate.NewToken, error)
	RevokeToken(ctx context.Context, id string, by control.By) (control.Token, error)
	Locks(ctx context.Context) (operate.LockList, error)
	BreakLock(ctx context.Context, name string, by control.By) (control.Lease, error)
}

// noServer is the --server that means the control database itself.
const noServer = "none"

// remoteForms are the commands that work through a server.
func remoteForms() []string {
	return []string{
		"rollout list", "rollout status", "rollout check", "rollout start", "rollout pause", "rollout resume", "rollout promote", "rollout approve",
		"rollout abort", "rollout undo", "rollout history", "floor show", "floor set", "stop", "status", "audit", "audit verify", "migration status",
		"migration pause", "migration resume", "migration cancel", "census", "census import", "flags eval", "flags export", "plan approve", "plan show",
		"rollback", "rollback assess", "rollback plan", "rollback generate", "rollback verify", "rollback run", "rollback status", "rollback close",
		"reset arm", "reset status", "reset fire", "reset cancel", "store list", "store show", "store forget", "webhook status", "webhook retry", "token create", "token list", "token revoke", "lock list", "lock break",
	}
}

// checkServer refuses --server where the command could not heed it.
func (a *app) checkServer() error {
	if !a.serverTyped || a.server == noServer || slices.Contains(remoteForms(), strings.TrimPrefix(a.typed, "headgate ")) {
		return nil
	}
	if a.typed == rolloutTick {
		return a.serverTicks().Then("headgate rollout list --server " + a.server)
	}
	return errs.Invalidf("`%s` has no remote form: it works here, with the app's files or the control database", a.typed).
		Hintf("leave --server away, and run it where those are").Then(a.typed + " --help")
}

const rolloutTick = "headgate rollout tick"

// serverTicks says why nobody ticks through a server.
func (a *app) serverTicks() *errs.Error {
	return errs.Invalidf("`%s` has no remote form: the server looks at the rollouts by itself, every ten seconds", rolloutTick).
		Hintf("headgate rollout status says what it does next, and when; headgate serve --tick sets another pace")
}

// serverOf is the address of the server through which commands about an environment work, empty for none.
func (a *app) serverOf(env config.Environment) string {
	switch a.server {
	case noServer:
		return ""
	case "":
		return env.Server
	}
	return a.server
}

// withOperations hands work what can be done with the environment of --env, here or through its server.
func (a *app) withOperations(c *cli.Context, work func(operations) error) error {
	client, err := a.remote(c)
	if err != nil {
		return err
	}
	if client != nil {
		return work(client)
	}
	return a.withControl(c, func(env config.Environment, db *control.DB) error { return work(a.rollouts(env, db)) })
}

// withOperationsOf is withOperations for an environment of headgate.yaml.
func (a *app) withOperationsOf(ctx context.Context, env config.Environment, work func(operations) error) (err error) {
	if address := a.serverOf(env); address != "" {
		client, err := a.client(address, env.Name)
		if err != nil {
			return err
		}
		return work(client)
	}
	db, err := a.openControl(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return a.nearby(work(a.rollouts(env, db)))
}

// remote is a client of the server of --env's environment, nil where there is none. One that is named on the command line or
// in HEADGATE_SERVER needs no headgate.yaml.
func (a *app) remote(c *cli.Context) (*remote.Client, error) {
	if a.server != "" && a.server != noServer {
		return a.client(a.server, c.String("env"))
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	env, err := cfg.Environment(c.String("env"))
	if err != nil || a.serverOf(env) == "" {
		return nil, err
	}
	return a.client(a.serverOf(env), env.Name)
}

func (a *app) client(address, env string) (*remote.Client, error) {
	token, _ := a.lookupEnv("HEADGATE_TOKEN")
	o := remote.Options{
		URL: address, Token: strings.TrimSpace(token), Environment: env, HTTP: &http.Client{}, Now: a.now,
		NewKey: func() string { return randomHex(16) }, Log: a.log,
	}
	if a.serverTyped {
		o.Next = func(command string) string { return a.through(command, address) }
	}
	return remote.New(o)
}

// through adds the server that was typed to a command which can work through it. Another one about an environment would
// work on whatever database is here: it says where it belongs, as a comment of the shell.
func (a *app) through(command, address string) string {
	switch {
	case strings.Contains(command, " --server "):
		return command
	case hasRemoteForm(strings.TrimPrefix(command, "headgate ")):
		return command + " --server " + address
	case strings.Contains(command, " --env "):
		return command + "   # where the control database is"
	}
	return command
}

// here is a command as it is typed here: with the server that was typed.
func (a *app) here(command string) string {
	if !a.serverTyped || a.server == noServer {
		return command
	}
	return a.through(command, a.server)
}

// hasRemoteForm reports whether a command line, without its headgate, is of a command that works through a server. A word
// after rollback is another command, which may have no such form.
func hasRemoteForm(words string) bool {
	return slices.ContainsFunc(remoteForms(), func(form string) bool {
		more, ok := strings.CutPrefix(words, form)
		return ok && (more == "" || strings.HasPrefix(more, " -") || form != "rollback" && strings.HasPrefix(more, " "))
	})
}

// needsControl refuses to use an environment's control database where its server is named and the database is not: what a
// command would do to the one beside headgate.yaml, the server would not see.
func (a *app) needsControl(env config.Environment) error {
	if a.serverOf(env) == "" || a.loaded == nil || env.Control != a.loaded.DefaultControl() || a.typed == "headgate serve" || a.typed == "headgate worker" {
		return nil
	}
	if a.typed == rolloutTick {
		return a.serverTicks().Then("headgate rollout list --env " + env.Name).Then(a.line + " --server none")
	}
	return errs.Invalidf("`%s` has no remote form: it works on the control database of %s, whose server is %s", a.typed, env.Name, a.serverOf(env)).
		Hintf("run it where that database is, with --server none; or name the database in headgate.yaml: control:").Then(a.line + " --server none")
}
