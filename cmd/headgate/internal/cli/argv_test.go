package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// A call is what a command of the made-up tree saw when it ran.
type call struct {
	Command string
	Args    []string
	Flags   map[string]string
	Format  string
}

// madeUpTree has every shape that headgate's commands have or will have.
func madeUpTree(got *call) *cli.App {
	record := func(c *cli.Context) error {
		got.Command, got.Args = strings.TrimPrefix(c.Command.HelpName, "headgate "), c.Args().Slice()
		got.Flags, got.Format = map[string]string{}, c.String("format")
		for _, name := range []string{"schema", "from", "config"} {
			if v := c.String(name); v != "" {
				got.Flags[name] = v
			}
		}
		if c.Bool("force") {
			got.Flags["force"] = "true"
		}
		if v := c.StringSlice("store"); len(v) > 0 {
			got.Flags["store"] = strings.Join(v, "|")
		}
		return nil
	}
	schema := &cli.StringFlag{Name: "schema"}
	tree := &cli.App{
		Name: "headgate", Flags: globalFlags(), OnUsageError: usageError, DisableSliceFlagSeparator: true,
		HideHelp: true, HideHelpCommand: true, HideVersion: true, ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{
			{Name: "check", Action: record, Flags: []cli.Flag{schema, &cli.StringFlag{Name: "from"}, formatFlag("sarif")}},
			{Name: "release", Subcommands: []*cli.Command{
				{Name: "add", Action: record, ArgsUsage: "VERSION", Flags: []cli.Flag{schema, &cli.BoolFlag{Name: "force", Aliases: []string{"f"}}}},
				{Name: "diff", Action: record, ArgsUsage: "A B"},
				{Name: "list", Action: record},
			}},
			{Name: "plan", Action: record, Flags: []cli.Flag{&cli.StringFlag{Name: "env"}}, Subcommands: []*cli.Command{
				{Name: "show", Action: record, ArgsUsage: "[FILE]"},
			}},
			{Name: "up", Action: record, ArgsUsage: "[NAME...]", Flags: []cli.Flag{
				&cli.StringSliceFlag{Name: "store"}, &cli.IntFlag{Name: "jobs"}, &cli.StringFlag{Name: "wave", Required: true},
			}},
		},
	}
	prepare(tree.Commands)
	return tree
}

func run(t *testing.T, env map[string]string, line ...string) (call, invocation, error) {
	t.Helper()
	var got call
	tree := madeUpTree(&got)
	in, err := parse(tree, line, lookup(env))
	if err != nil || in.help || in.version {
		return got, in, err
	}
	err = tree.Run(append([]string{"headgate"}, in.argv()...))
	return got, in, err
}

func TestArgvOrder(t *testing.T) {
	want := call{Command: "release add", Args: []string{"1.0.0"}, Flags: map[string]string{"schema": "main", "force": "true"}, Format: "json"}
	for _, line := range []string{
		"release add --schema main --force --format json 1.0.0",
		"release add 1.0.0 --schema main --force --format json",
		"release add 1.0.0 --schema=main -f --format=json",
		"--format json release add 1.0.0 --force --schema main",
		"--schema main release --force add --format json 1.0.0",
		"release add --force=true --schema main --format json -- 1.0.0",
	} {
		got, _, err := run(t, nil, strings.Fields(line)...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestArgvShapes(t *testing.T) {
	for _, tc := range []struct {
		line string
		env  map[string]string
		want call
	}{
		{line: "check", want: call{Command: "check", Format: "text"}},
		{line: "--format sarif check", want: call{Command: "check", Format: "sarif"}},
		{line: "check", env: map[string]string{"HEADGATE_FORMAT": "json"}, want: call{Command: "check", Format: "json"}},
		{line: "check --format text", env: map[string]string{"HEADGATE_FORMAT": "json"}, want: call{Command: "check", Format: "text"}},
		{line: "release list", env: map[string]string{"HEADGATE_CONFIG": "a.yaml"}, want: call{Command: "release list", Format: "text", Flags: map[string]string{"config": "a.yaml"}}},
		{line: "plan", want: call{Command: "plan", Format: "text"}},
		{line: "plan show p.json", want: call{Command: "plan show", Args: []string{"p.json"}, Format: "text"}},
		{line: "plan show -", want: call{Command: "plan show", Args: []string{"-"}, Format: "text"}},
		{line: "release diff 1.0.0 -- --weird", want: call{Command: "release diff", Args: []string{"1.0.0", "--weird"}, Format: "text"}},
		{line: "up a b --wave 1 c --store x,y --store z", want: call{Command: "up", Args: []string{"a", "b", "c"}, Format: "text", Flags: map[string]string{"store": "x,y|z"}}},
		{line: "up --wave 1 --jobs -2", want: call{Command: "up", Format: "text"}},
	} {
		if tc.want.Args == nil {
			tc.want.Args = []string{}
		}
		if tc.want.Flags == nil {
			tc.want.Flags = map[string]string{}
		}
		got, _, err := run(t, tc.env, strings.Fields(tc.line)...)
		if err != nil {
			t.Errorf("%s: %v", tc.line, err)
		} else if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.line, diff)
		}
	}
}

func TestArgvErrors(t *testing.T) {
	for line, want := range map[string]string{
		"release":                       "`headgate release` needs a subcommand",
		"release ad 1.0.0":              `unknown command "release ad"`,
		"list":                          `unknown command "list"`,
		"plan shwo":                     `unknown command "plan shwo"`,
		"release add":                   "VERSION is missing",
		"release add 1.0.0 2.0.0":       `unexpected argument "2.0.0"`,
		"release diff 1.0.0":            "B is missing",
		"release list --schema main":    "unknown flag --schema for `headgate release list`",
		"release add --schema --force":  "--schema needs a value",
		"release add 1.0.0 --schema":    "--schema needs a value",
		"release add 1.0.0 --schema --": "--schema needs a value",
		"check --format markdown":       `--format: unknown value "markdown"`,
		"release list --format sarif":   `--format: unknown value "sarif"`,
		"check --from 1 --from 2":       "--from is given twice",
		"check --from --help=x":         "--from needs a value",
		"check -from 1":                 "unknown flag -from for `headgate check`",
		"up":                            "--wave is missing",
		"up --wave 1 --jobs many":       `invalid value "many" for flag -jobs: parse error`,
		"check --help=yes":              `--help takes no value, it has "yes"`,
	} {
		got, _, err := run(t, nil, strings.Fields(line)...)
		switch {
		case err == nil || err.Error() != want:
			t.Errorf("%s: error %v, want %s", line, err, want)
		case got.Command != "":
			t.Errorf("%s: the command ran", line)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for line, want := range map[string]string{
		"list":                       "did you mean `headgate release list`?",
		"release ad 1.0.0":           "did you mean `headgate release add`?",
		"release list --schema main": "`headgate check` has this flag",
		"check --form x":             "did you mean --from?",
		"plan show a show":           "usage: headgate plan show [FILE]",
	} {
		_, _, err := run(t, nil, strings.Fields(line)...)
		if e := asError(err); e == nil || e.Hint != want || len(e.Next) != 1 {
			t.Errorf("%s: %#v, want the hint %q and one next command", line, e, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"release add 1.0.0 --schema main", "--format=json -- x", "check --from", "-f -5 - --", "plan show --help"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var got call
		tree := madeUpTree(&got)
		argv := strings.Split(line, " ")
		in, err := parse(tree, argv, lookup(nil))
		if err != nil {
			if asError(err) == nil {
				t.Fatalf("error %v is not for the user", err)
			}
			return
		}
		// What was taken apart and put together again must come apart in the same way.
		again, err := parse(tree, in.argv(), lookup(nil))
		if !in.help && !in.version && (err != nil || !slices.Equal(in.argv(), again.argv())) {
			t.Fatalf("%q became %q, then %q (%v)", argv, in.argv(), again.argv(), err)
		}
	})
}
