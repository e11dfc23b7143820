package config

import (
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Webhook is what an environment's server tells of what happens. The zero Webhook is none.
type Webhook struct {
	URL string // http:// or https://; it may hold a secret
	// Variable is the environment variable that holds the signing secret, or File the absolute path of a file with it.
	Variable, File string
	Events         []string // groups, or single actions, of the audit; see [Webhook.Tells]
	Line           int      // 0 for none
}

// DefaultWebhookVariable is the environment variable that holds the secret where the file names nothing else.
const DefaultWebhookVariable = "HEADGATE_WEBHOOK_SECRET"

// WebhookEvents are the groups that a webhook may be told of; the first [WebhookDefaults] of them where the file does not say.
func WebhookEvents() []string {
	return []string{"rollout", "stop", "run", "incident", "reset", "floor", "store", "plan", "log", "lock", "token", "census", "inventory"}
}

// WebhookDefaults is how many groups a webhook is told of by default.
const WebhookDefaults = 6

// Tells reports whether the webhook is told of an action of the audit: rollout.abort is of the group rollout.
func (w Webhook) Tells(action string) bool {
	return slices.ContainsFunc(w.Events, func(e string) bool { return action == e || strings.HasPrefix(action, e+".") })
}

func (d decoder) webhook(n *yaml.Node, path string, c *Config, w *Webhook) error {
	w.Line = resolve(n).Line
	err := d.mapping(n, path, map[string]field{
		"url": d.required(field{read: func(n *yaml.Node, p string) (err error) {
			if w.URL, err = d.text(n, p); err != nil {
				return err
			}
			if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return d.errorf(n, "%s is not an http:// or https:// URL", p) // it may hold a secret
			}
			return nil
		}}),
		"secret": {read: func(n *yaml.Node, p string) error {
			return d.variable(n, p, DefaultWebhookVariable, &w.Variable)
		}},
		"secretFile": {read: func(n *yaml.Node, p string) error {
			v, err := d.text(n, p)
			if err == nil {
				w.File = c.abs(v)
			}
			return err
		}},
		"events": {read: func(n *yaml.Node, p string) error { return d.webhookEvents(n, p, &w.Events) }},
	})
	if err != nil {
		return err
	}
	switch {
	case w.Variable != "" && w.File != "":
		return d.errorf(n, "%s has both secret and secretFile", path).Hintf("keep one of them")
	case w.Variable == "" && w.File == "":
		w.Variable = DefaultWebhookVariable
	}
	if w.Events == nil {
		w.Events = WebhookEvents()[:WebhookDefaults]
	}
	return nil
}

func (d decoder) webhookEvents(n *yaml.Node, path string, into *[]string) error {
	if err := d.texts(n, path, into); err != nil {
		return err
	}
	for _, e := range *into {
		group, _, _ := strings.Cut(e, ".")
		if !slices.Contains(WebhookEvents(), group) {
			return d.errorf(n, "%s: there is nothing like %q to tell", path, e).
				Hintf("write groups, or single actions as rollout.abort; there are: %s", strings.Join(WebhookEvents(), ", "))
		}
	}
	if len(*into) == 0 {
		return d.errorf(n, "%s is empty", path).Hintf("leave it away for the usual ones: %s", strings.Join(WebhookEvents()[:WebhookDefaults], ", "))
	}
	return nil
}
