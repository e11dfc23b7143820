package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A choiceFlag takes one of a few words. They are checked before the command runs, shown in help and completed.
type choiceFlag struct {
	*cli.StringFlag
	choices []string
}

// choice returns a flag that takes one of the choices; the first is the default.
func choice(name, usage string, choices ...string) cli.Flag {
	return &choiceFlag{
		StringFlag: &cli.StringFlag{Name: name, Usage: usage, Value: choices[0]},
		choices:    choices,
	}
}

// formatFlag is --format for a command that prints more than text and JSON.
func formatFlag(more ...string) cli.Flag {
	return choice("format", "print the result as `FORMAT`", append([]string{formatText, formatJSON}, more...)...)
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

func isSlice(f cli.Flag) bool {
	s, ok := f.(cli.DocGenerationSliceFlag)
	return ok && s.IsSliceFlag()
}

// flagsByName indexes flags by name and alias.
func flagsByName(flags []cli.Flag) map[string]cli.Flag {
	out := map[string]cli.Flag{}
	for _, f := range flags {
		for _, name := range f.Names() {
			out[name] = f
		}
	}
	return out
}

// allFlags indexes the global flags and those of every command.
func allFlags(tree *cli.App) map[string]cli.Flag {
	out := flagsByName(tree.Flags)
	walk(tree.Commands, "headgate", func(_ string, c *cli.Command) {
		for name, f := range flagsByName(c.Flags) {
			out[name] = f
		}
	})
	return out
}

// walk calls visit for every command, parents first, with the words that name it.
func walk(commands []*cli.Command, prefix string, visit func(path string, c *cli.Command)) {
	for _, c := range commands {
		path := prefix + " " + c.Name
		visit(path, c)
		walk(c.Subcommands, path, visit)
	}
}

func find(commands []*cli.Command, name string) *cli.Command {
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(name) })
	if i < 0 {
		return nil
	}
	return commands[i]
}

// findAnywhere returns the only place in the tree where a command has this name, or "".
func findAnywhere(commands []*cli.Command, name, prefix string) string {
	var found []string
	walk(commands, prefix, func(path string, c *cli.Command) {
		if c.HasName(name) {
			found = append(found, path)
		}
	})
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// flagOwner returns the first command that has the flag, or "".
func flagOwner(commands []*cli.Command, flag, prefix string) string {
	owner := ""
	walk(commands, prefix, func(path string, c *cli.Command) {
		if owner == "" && flagsByName(c.Flags)[flag] != nil {
			owner = path
		}
	})
	return owner
}

func names(commands []*cli.Command) []string {
	var out []string
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, c.Name)
		}
	}
	return out
}

// usageLine returns "headgate release add [flags] VERSION".
func usageLine(path string, c *cli.Command) string {
	line := path
	if len(c.Subcommands) > 0 {
		if c.Action == nil {
			return line + " COMMAND"
		}
		line += " [COMMAND]"
	}
	if len(c.Flags) > 0 {
		line += " [flags]"
	}
	return strings.TrimRight(line+" "+c.ArgsUsage, " ")
}
