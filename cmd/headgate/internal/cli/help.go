package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/errs"
)

// A topic is a page of `headgate help` that is not a command: `headgate help exit-codes`, or with arguments
// `headgate help finding ST103`.
type topic struct {
	name   string
	args   string // what follows the name, for the list: "CODE"
	about  string // one line
	render func(a *app, w io.Writer, args []string) error
}

func (a *app) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Category:  plumbing,
		Usage:     "explain a command or a topic",
		ArgsUsage: "[COMMAND|TOPIC...]",
		UsageText: "headgate help release\nheadgate help exit-codes",
		Action: func(c *cli.Context) error {
			return a.help(c.Args().Slice())
		},
	}
}

// help prints the page that args name: nothing, a command, or a topic.
func (a *app) help(args []string) error {
	tree := a.tree()
	if len(args) == 0 {
		return a.helpFor(tree, nil)
	}
	for _, t := range a.topics() {
		if t.name == args[0] {
			var b bytes.Buffer
			if err := t.render(a, &b, args[1:]); err != nil {
				return err
			}
			_, err := a.stdout.Write(b.Bytes())
			return err
		}
	}
	var path []*cli.Command
	level := tree.Commands
	for _, name := range args {
		c := find(level, name)
		if c == nil {
			candidates := names(level)
			if len(path) == 0 {
				for _, t := range a.topics() {
					candidates = append(candidates, t.name)
				}
			}
			err := errs.NotFoundf("no help for %q", strings.Join(args, " ")).Then("headgate help")
			if near := suggest.Nearest(name, candidates); near != "" {
				err.Hintf("did you mean `%s`?", strings.Join(append([]string{"headgate help"}, append(args[:len(path):len(path)], near)...), " "))
			}
			return err
		}
		path = append(path, c)
		level = c.Subcommands
	}
	return a.helpFor(tree, path)
}

// helpFor prints the help of the command at path, or the first screen.
func (a *app) helpFor(tree *cli.App, path []*cli.Command) error {
	var b bytes.Buffer
	if len(path) == 0 {
		a.firstScreen(&b, tree)
	} else {
		a.commandScreen(&b, tree, path)
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}

func (a *app) firstScreen(w io.Writer, tree *cli.App) {
	h := func(s string) string { return a.stdout.paint(strong, s) }
	fmt.Fprintf(w, "headgate makes changing the events of a LiveStore app safe.\n\n%s headgate COMMAND [flags] [arguments]\n", h("Usage:"))
	for _, part := range []struct{ category, title string }{{daily, "Daily:"}, {plumbing, "Plumbing:"}} {
		var rows [][2]string
		for _, c := range tree.Commands {
			if c.Category != part.category || c.Hidden {
				continue
			}
			name := c.Name
			if subs := names(c.Subcommands); len(subs) > 0 {
				list := strings.Join(subs, "|")
				if c.Action != nil { // it does something by itself
					list = "[" + list + "]"
				}
				name += " " + list
			}
			rows = append(rows, [2]string{name, c.Usage})
		}
		if len(rows) > 0 {
			fmt.Fprintf(w, "\n%s\n", h(part.title))
			columns(w, rows)
		}
	}
	fmt.Fprintf(w, "\n%s\n", h("Global flags, anywhere on the line:"))
	columns(w, flagRows(tree.Flags))
	var rows [][2]string
	for _, t := range a.topics() {
		rows = append(rows, [2]string{strings.TrimSpace(t.name + " " + t.args), t.about})
	}
	fmt.Fprintf(w, "\n%s\n", h("Topics, with `headgate help TOPIC`:"))
	columns(w, rows)
	fmt.Fprintf(w, "\n`headgate help COMMAND` explains a command and shows examples.\n")
}

func (a *app) commandScreen(w io.Writer, tree *cli.App, path []*cli.Command) {
	h := func(s string) string { return a.stdout.paint(strong, s) }
	c := path[len(path)-1]
	typed := "headgate"
	for _, p := range path {
		typed += " " + p.Name
	}
	fmt.Fprintf(w, "%s: %s\n\n%s %s\n", typed, c.Usage, h("Usage:"), usageLine(typed, c))
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Description))
	}
	if len(c.Subcommands) > 0 {
		var rows [][2]string
		for _, s := range c.Subcommands {
			if !s.Hidden {
				rows = append(rows, [2]string{strings.TrimSpace(s.Name + " " + s.ArgsUsage), s.Usage})
			}
		}
		fmt.Fprintf(w, "\n%s\n", h("Commands:"))
		columns(w, rows)
	}
	if len(c.Flags) > 0 {
		fmt.Fprintf(w, "\n%s\n", h("Flags:"))
		columns(w, flagRows(c.Flags))
	}
	own := flagsByName(c.Flags)
	global := slices.DeleteFunc(slices.Clone(tree.Flags), func(f cli.Flag) bool { return own[f.Names()[0]] != nil })
	fmt.Fprintf(w, "\n%s\n", h("Global flags:"))
	columns(w, flagRows(global))
	fmt.Fprintf(w, "\n%s\n", h("Examples:"))
	for line := range strings.Lines(strings.TrimSpace(c.UsageText)) {
		fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, "\n"))
	}
}

// columns prints two aligned columns; a long left cell gets a line of its own.
func columns(w io.Writer, rows [][2]string) {
	width := 0
	for _, r := range rows {
		if n := len([]rune(r[0])); n <= 30 {
			width = max(width, n)
		}
	}
	for _, r := range rows {
		if len([]rune(r[0])) > width {
			fmt.Fprintf(w, "  %s\n  %*s  %s\n", r[0], width, "", r[1])
			continue
		}
		fmt.Fprintf(w, "  %-*s  %s\n", width, r[0], r[1])
	}
}

// flagRows returns "--name VALUE" and the usage with choices, default and variable.
func flagRows(flags []cli.Flag) [][2]string {
	var rows [][2]string
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		d, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		placeholder, usage := unquote(d.GetUsage())
		name := "--" + f.Names()[0]
		for _, alias := range f.Names()[1:] {
			if len(alias) == 1 {
				name = "-" + alias + ", " + name
			}
		}
		if d.TakesValue() {
			name += " " + placeholder
		}
		var notes []string
		c, isChoice := f.(*choiceFlag)
		if isChoice {
			notes = append(notes, strings.Join(c.choices, ", "))
		}
		if def := d.GetValue(); d.TakesValue() && def != "" && def != "0" && def != "[]" {
			notes = append(notes, "default "+strings.Trim(def, `"`))
		}
		if isSlice(f) {
			notes = append(notes, "repeatable")
		}
		if env := flagEnv(f.Names()[0]); env != "" {
			notes = append(notes, env)
		}
		if len(notes) > 0 {
			usage += " (" + strings.Join(notes, "; ") + ")"
		}
		rows = append(rows, [2]string{name, usage})
	}
	return rows
}

// unquote takes the placeholder out of "read `FILE` first".
func unquote(usage string) (placeholder, plain string) {
	before, rest, ok := strings.Cut(usage, "`")
	name, after, closed := strings.Cut(rest, "`")
	if !ok || !closed {
		return "VALUE", usage
	}
	return name, before + name + after
}
