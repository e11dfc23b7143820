package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
)

func (a *app) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Category:  daily,
		Usage:     "what runs, what blocks, and the next command",
		UsageText: "headgate status\nheadgate status --env prod --format json",
		Description: `Shows the runs of migrations that are under way and the last one that ended, as the environment's control database
has them; stores that older runs left undone, those that no run took since looking at them failed, migrations that no run
was for yet, and who holds locks. The logs themselves are asked by headgate migration status.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "only the environment `ENV`"}},
		Action: a.status,
	}
}

func (a *app) status(c *cli.Context) error {
	out, err := a.statuses(c)
	if err != nil {
		return err
	}
	incidents, err := a.incidentsOf(out)
	if err != nil {
		return err
	}
	reports := []environmentStatus{}
	for n, s := range out {
		reports = append(reports, environmentStatus{Incident: incidents[n], Status: s})
	}
	return a.render(reports, func(w io.Writer) error {
		return each(w, reports, func(w io.Writer, s environmentStatus) error {
			if s.Incident != nil {
				fmt.Fprintf(w, "%s is open on %s, about %s: headgate rollback --env %[2]s\n", a.stdout.paint(bad, "incident "+s.Incident.ID), s.Environment, s.Incident.Selection)
			}
			return a.writeStatus(w, s.Status)
		})
	})
}

// An environmentStatus is a status, with the incident that is open.
type environmentStatus struct {
	Incident *corrective.Incident `json:"incident,omitempty"`
	operate.Status
}

// incidentsOf are the incidents that are open in environments, nil where none is. Through a server, without the app's files,
// nobody knows.
func (a *app) incidentsOf(all []operate.Status) ([]*corrective.Incident, error) {
	out := make([]*corrective.Incident, len(all))
	cfg, err := a.config()
	if err != nil {
		return out, nil // the server's status needs no headgate.yaml, and nothing else gets here without one
	}
	for n, s := range all {
		i, err := a.openIncident(cfg, s.Environment)
		if err != nil {
			return nil, err
		}
		if i != nil {
			out[n] = i.Incident
		}
	}
	return out, nil
}

// statuses are those of the environment that is named, or of all in headgate.yaml.
func (a *app) statuses(c *cli.Context) ([]operate.Status, error) {
	out := []operate.Status{}
	ask := func(ops operations) error {
		s, err := ops.Status(c.Context)
		out = append(out, s)
		return err
	}
	if c.String("env") != "" || a.server != "" && a.server != noServer {
		err := a.withOperations(c, ask)
		return out, err
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	for _, env := range cfg.Environments {
		if err := a.withOperationsOf(c.Context, env, ask); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// locksShown is how many locks the text lists.
const locksShown = 10

func (a *app) writeStatus(w io.Writer, s operate.Status) error {
	if len(s.Runs) == 0 {
		fmt.Fprintf(w, "nothing ran on %s yet\n", s.Environment)
	} else if err := writeRuns(w, s.Runs); err != nil {
		return err
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "%s: nothing opens or advances (%s)\n", a.stdout.paint(bad, "stopped"), s.Stopped)
	}
	if s.Held != "" {
		fmt.Fprintf(w, "%s: %s\n", a.stdout.paint(bad, "held by the throttle"), s.Held)
	}
	writeWebhook(w, s.Webhook)
	for _, u := range s.Unfinished {
		fmt.Fprintf(w, "%s of older runs: %s not done\n", u.Migration, count(u.Stores, "store"))
		writeFailed(w, u.Failed)
	}
	for _, u := range s.LeftOut {
		fmt.Fprintf(w, "%s: %s in no run, since looking at what is due there failed\n", u.Migration, count(u.Stores, "store"))
		writeFailed(w, u.Failed)
	}
	if len(s.Pending) > 0 {
		fmt.Fprintf(w, "not run on %s yet: %s\n", s.Environment, strings.Join(s.Pending, ", "))
	}
	if s.Unreadable != "" {
		fmt.Fprintf(w, "the migrations can't be read: %s\n", s.Unreadable)
	}
	if n := len(s.Locks); n > 0 {
		fmt.Fprintf(w, "%s held:\n", count(n, "lock"))
	}
	for i, l := range s.Locks {
		if i == locksShown {
			fmt.Fprintf(w, "  and %d more: headgate lock list --env %s\n", len(s.Locks)-i, s.Environment)
			break
		}
		note := ""
		if !l.ExpiresAt.After(a.now()) {
			note = ", expired"
		}
		fmt.Fprintf(w, "  %s by %s since %s%s\n", l.Name, l.Owner, l.AcquiredAt.Format(time.RFC3339), note)
	}
	for _, next := range s.NextActions {
		if len(s.Runs) > 0 && slices.Contains(s.Runs[0].NextActions, next) {
			continue // shown with the run
		}
		fmt.Fprintf(w, "next: %s\n", next)
	}
	return nil
}
