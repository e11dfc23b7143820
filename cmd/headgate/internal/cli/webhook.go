package cli

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/webhook"
	"headgate/internal/control"
	"headgate/internal/errs"
)

func (a *app) webhookCommand() *cli.Command {
	return &cli.Command{
		Name: "webhook", Category: plumbing, Usage: "how far an environment's webhook was told what happens",
		UsageText: "headgate webhook status --env prod\nheadgate webhook retry --env prod",
		Description: `Where headgate.yaml has webhook: for an environment (headgate help config), its headgate serve tells that address what the
audit gets: rollouts that move, aborts and stops, runs that fail, incidents. What is not answered with 2xx is tried again
for about six hours, 14 times, and then given up.

The requests are those of Standard Webhooks (https://www.standardwebhooks.com): webhook-id is the same in all attempts,
webhook-timestamp that of the attempt, webhook-signature v1 and HMAC-SHA256 over ID.TIMESTAMP.BODY with the secret. The body:

  {"type": "rollout.abort", "timestamp": "2027-01-31T12:00:00Z",
   "data": {"app": "todo", "environment": "prod", "seq": 41, "actor": "ana", "subject": "todo-created-v2", "detail": {…}}}

detail is what headgate audit shows. An event may come twice, and out of order: webhook-id and seq tell.`,
		Subcommands: []*cli.Command{
			{
				Name: "status", Usage: "say what waits, and what was given up", UsageText: "headgate webhook status --env prod", Flags: []cli.Flag{envFlag()},
				Action: func(c *cli.Context) error {
					return a.withOperations(c, func(ops operations) error {
						s, err := ops.Webhook(c.Context)
						if err != nil {
							return err
						}
						return a.render(s, func(w io.Writer) error {
							if !s.Configured {
								fmt.Fprintf(w, "headgate.yaml has no webhook for %s\n", s.Environment)
							}
							_, err := fmt.Fprintf(w, "%s delivered within seven days, %d waiting, %d given up\n", counted(s.Delivered, "event"), s.Waiting, s.GivenUp)
							if s.Error != "" {
								fmt.Fprintf(w, "  the last failure: %s\n", s.Error)
							}
							return err
						})
					})
				},
			},
			{
				Name: "retry", Usage: "have what was given up tried again", UsageText: "headgate webhook retry --env prod --reason=the-receiver-is-back",
				Flags: []cli.Flag{envFlag(), &cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"}},
				Action: func(c *cli.Context) error {
					return a.withOperations(c, func(ops operations) error {
						r, err := ops.RetryWebhook(c.Context, a.by(c.String("reason")))
						if err != nil {
							return err
						}
						return a.render(r, func(w io.Writer) error {
							_, err := fmt.Fprintf(w, "%s will be told again by headgate serve\n", counted(r.Events, "event"))
							return err
						})
					})
				},
			},
		},
	}
}

// writeWebhook says what the webhook was not told yet.
func writeWebhook(w io.Writer, s *control.WebhookState) {
	if s == nil || s.Waiting == 0 && s.GivenUp == 0 {
		return
	}
	fmt.Fprintf(w, "webhook: %s waiting", counted(s.Waiting, "event"))
	if s.Waiting > 0 {
		fmt.Fprintf(w, " since %s", s.Since.Format(time.RFC3339))
	}
	fmt.Fprintf(w, ", %d given up", s.GivenUp)
	if s.Error != "" {
		fmt.Fprintf(w, "; the last failure: %s", s.Error)
	}
	fmt.Fprintln(w)
}

// sender tells an environment's webhook what happens; nil where there is none.
func (a *app) sender(env config.Environment, db *control.DB) (*webhook.Sender, error) {
	hook := env.Webhook
	if hook.Line == 0 {
		return nil, nil
	}
	text, from := "", cmp.Or(hook.File, "the variable "+hook.Variable)
	if hook.File != "" {
		data, err := os.ReadFile(hook.File)
		if err != nil {
			return nil, errs.Invalidf("the webhook's secret can't be read").At("%s", a.rel(hook.File)).Because(err)
		}
		text = string(data)
	} else {
		text, _ = a.lookupEnv(hook.Variable)
	}
	secret, err := webhook.ParseSecret(text)
	if err != nil {
		errs.As(err).Msg += ": " + from
		return nil, errs.As(err).At("%s", a.loaded.Where(hook.Line))
	}
	return &webhook.Sender{
		DB: db, Env: env.Name, App: a.loaded.App, URL: hook.URL, Secret: secret, Told: hook.Tells, HTTP: &http.Client{}, Now: a.now, Log: a.log,
	}, nil
}
