package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/errs"
)

// An invocation is a command line taken apart: flags and positionals may have been mixed in any order, and global
// flags may have stood anywhere. argv puts it together again in the one order that urfave/cli understands.
type invocation struct {
	path    []*cli.Command      // from a root command down to the one to run; empty for the bare program
	values  map[string][]string // by the flag's full name, in the order given
	global  map[string]bool     // which of them belong before the command
	order   []string            // names in values, in the order first given
	args    []string            // positionals
	help    bool
	version bool
	format  string
	typed   string // "headgate release add", for messages and next commands
}

// value returns the last value of a flag, or def.
func (in invocation) value(name, def string) string {
	if v := in.values[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return def
}

// argv returns global flags, command, its flags, "--", positionals.
func (in invocation) argv() []string {
	var global, local []string
	for _, name := range in.order {
		for _, v := range in.values[name] {
			if in.global[name] {
				global = append(global, "--"+name+"="+v)
			} else {
				local = append(local, "--"+name+"="+v)
			}
		}
	}
	out := global
	for _, c := range in.path {
		out = append(out, c.Name)
	}
	out = append(out, local...)
	if len(in.args) > 0 {
		out = append(append(out, "--"), in.args...)
	}
	return out
}

// A word is one flag or positional as it was typed.
type word struct {
	flag  string // without dashes; empty for a positional
	typed string
	value string
	given bool // the flag has a value
	plain bool // stood after "--"
}

// parse takes argv (without the program's name) apart and checks everything that can be checked before a command
// runs: the command exists, each flag is one of its own or global, has a value when it takes one and not twice,
// choices are among those listed, and there are as many positionals as its ArgsUsage says. The invocation is
// filled as far as possible when it returns an error, so that the error is printed in the wanted format.
func parse(tree *cli.App, argv []string, lookupEnv func(string) (string, bool)) (invocation, error) {
	in := invocation{
		values: map[string][]string{},
		global: map[string]bool{},
		typed:  "headgate",
		format: formatText,
	}
	words, splitErr := split(argv, allFlags(tree))
	for _, w := range words { // early, because any of the errors below may have to be JSON
		switch {
		case w.flag == "format" && w.value == formatJSON:
			in.format = formatJSON
		case (w.flag == "help" || w.flag == "h") && (!w.given || w.value == "true"):
			in.help = true
		}
	}
	if v, ok := lookupEnv(flagEnv("format")); ok && v == formatJSON && !slices.ContainsFunc(words, func(w word) bool { return w.flag == "format" }) {
		in.format = formatJSON
	}

	words, err := in.resolve(tree, words)
	if err != nil {
		return in, err
	}
	if in.help {
		return in, nil
	}
	if splitErr != nil {
		return in, in.usage(splitErr)
	}
	if err := in.takeFlags(tree, words, lookupEnv); err != nil {
		return in, in.usage(err)
	}
	if _, ok := in.values["version"]; ok && len(in.path) == 0 {
		in.version = true
		return in, nil
	}
	if err := in.checkArgs(); err != nil {
		return in, in.usage(err)
	}
	return in, nil
}

// usage adds the command's help as the next command.
func (in invocation) usage(err *errs.Error) error {
	if len(err.Next) == 0 {
		err.Then(in.typed + " --help")
	}
	return err
}

// split tells flags, their values and positionals apart. Commands are not known yet, so it relies on a flag
// having the same shape in every command, which a test holds.
func split(argv []string, known map[string]cli.Flag) ([]word, *errs.Error) {
	var words []word
	var firstErr *errs.Error
	for i := 0; i < len(argv); i++ {
		arg := argv[i]
		if arg == "--" {
			for _, rest := range argv[i+1:] {
				words = append(words, word{typed: rest, value: rest, plain: true})
			}
			break
		}
		if !looksLikeFlag(arg, known) {
			words = append(words, word{typed: arg, value: arg})
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		typed, _, _ := strings.Cut(arg, "=")
		w := word{flag: name, typed: typed, value: value, given: given}
		f, ok := known[name]
		if ok && !strings.HasPrefix(arg, "--") && len(name) > 1 {
			ok = false // -format: the library would take it, the user should know the real spelling
		}
		if ok && !given && takesValue(f) {
			if i+1 < len(argv) && !looksLikeFlag(argv[i+1], known) && argv[i+1] != "--" {
				i++
				w.value, w.given = argv[i], true
			} else if firstErr == nil {
				firstErr = errs.Invalidf("%s needs a value", typed).
					Hintf("write %s=VALUE or %s VALUE", typed, typed)
			}
		}
		words = append(words, w)
	}
	return words, firstErr
}

// looksLikeFlag says whether arg is meant as a flag: "-" and negative numbers are not.
func looksLikeFlag(arg string, known map[string]cli.Flag) bool {
	switch {
	case len(arg) < 2 || arg[0] != '-' || arg == "--":
		return false
	case arg[1] >= '0' && arg[1] <= '9':
		_, ok := known[arg[1:]]
		return ok
	}
	return true
}

// resolve walks the command tree along the positionals and returns the words that are left.
func (in *invocation) resolve(tree *cli.App, words []word) ([]word, error) {
	level := tree.Commands
	var rest []word
	for i, w := range words {
		if w.flag != "" || w.plain {
			rest = append(rest, w)
			continue
		}
		c := find(level, w.value)
		if c == nil {
			if err := in.unknownCommand(tree, level, w.value); err != nil {
				return nil, err
			}
			return append(rest, words[i:]...), nil
		}
		in.path = append(in.path, c)
		in.typed += " " + c.Name
		level = c.Subcommands
		if len(level) == 0 {
			return append(rest, words[i+1:]...), nil
		}
	}
	return rest, nil
}

// unknownCommand returns the error for a word that names no command, or nil where the word may be a positional
// of the command found so far.
func (in *invocation) unknownCommand(tree *cli.App, level []*cli.Command, name string) error {
	if len(in.path) > 0 {
		c := in.path[len(in.path)-1]
		if len(c.Subcommands) == 0 || c.Action != nil && c.ArgsUsage != "" {
			return nil
		}
	}
	candidates := names(level)
	if len(in.path) == 0 {
		candidates = append(candidates, "--version", "--help")
	}
	err := errs.Invalidf("unknown command %q", strings.TrimPrefix(in.typed+" "+name, "headgate "))
	if near := suggest.Nearest(name, candidates); near != "" {
		return err.Hintf("did you mean `%s %s`?", in.typed, near).Then(in.typed + " --help")
	}
	if path := findAnywhere(tree.Commands, name, "headgate"); path != "" {
		return err.Hintf("did you mean `%s`?", path).Then(in.typed + " --help")
	}
	return err.Hintf("there are: %s", strings.Join(names(level), ", ")).Then(in.typed + " --help")
}

// takeFlags files every flag under its command or the global ones.
func (in *invocation) takeFlags(tree *cli.App, words []word, lookupEnv func(string) (string, bool)) *errs.Error {
	local := map[string]cli.Flag{}
	if len(in.path) > 0 {
		local = flagsByName(in.path[len(in.path)-1].Flags)
	}
	global := flagsByName(tree.Flags)
	for _, w := range words {
		if w.flag == "" {
			in.args = append(in.args, w.value)
			continue
		}
		f, isLocal := local[w.flag]
		if !isLocal {
			f = global[w.flag]
		}
		if f == nil || len(w.flag) > 1 && !strings.HasPrefix(w.typed, "--") {
			return in.unknownFlag(tree, w, local, global)
		}
		name := f.Names()[0]
		if !takesValue(f) {
			switch {
			case !w.given:
				w.value = "true"
			case w.value != "true" && w.value != "false":
				return errs.Invalidf("%s takes no value, it has %q", w.typed, w.value).Hintf("write %s alone", w.typed)
			case w.value == "false":
				continue
			}
		} else if w.value == "" {
			return errs.Invalidf("%s needs a value, it is empty", w.typed)
		}
		if _, again := in.values[name]; again && !isSlice(f) {
			return errs.Invalidf("%s is given twice", w.typed).Hintf("keep one of them")
		}
		if err := in.set(f, w.value, !isLocal, w.typed); err != nil {
			return err
		}
	}
	return in.fillFromEnv(local, global, lookupEnv)
}

// set records a flag's value. from is what a message calls its source: the flag as typed, or a variable.
func (in *invocation) set(f cli.Flag, value string, global bool, from string) *errs.Error {
	name := f.Names()[0]
	if c, ok := f.(*choiceFlag); ok && !slices.Contains(c.choices, value) {
		err := errs.Invalidf("%s: unknown value %q", from, value)
		if near := suggest.Nearest(value, c.choices); near != "" {
			return err.Hintf("did you mean %s? There are: %s", near, strings.Join(c.choices, ", "))
		}
		return err.Hintf("there are: %s", strings.Join(c.choices, ", "))
	}
	if name == "format" {
		in.format = value
	}
	if _, again := in.values[name]; !again {
		in.order = append(in.order, name)
	}
	in.values[name] = append(in.values[name], value)
	in.global[name] = global
	return nil
}

// fillFromEnv sets flags that were not given from their HEADGATE_ variables.
func (in *invocation) fillFromEnv(local, global map[string]cli.Flag, lookupEnv func(string) (string, bool)) *errs.Error {
	for _, name := range []string{"config", "format", "log-level", "env"} {
		f, isLocal := local[name]
		if !isLocal {
			f = global[name]
		}
		if _, given := in.values[name]; given || f == nil {
			continue
		}
		if v, ok := lookupEnv(flagEnv(name)); ok && v != "" {
			if err := in.set(f, v, !isLocal, flagEnv(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (in *invocation) unknownFlag(tree *cli.App, w word, local, global map[string]cli.Flag) *errs.Error {
	var candidates []string
	for _, flags := range []map[string]cli.Flag{local, global} {
		for name := range flags {
			candidates = append(candidates, name)
		}
	}
	slices.Sort(candidates)
	dashes := func(name string) string {
		if len(name) == 1 {
			return "-" + name
		}
		return "--" + name
	}
	err := errs.Invalidf("unknown flag %s", w.typed)
	if len(in.path) > 0 {
		err = errs.Invalidf("unknown flag %s for `%s`", w.typed, in.typed)
	}
	if near := suggest.Nearest(w.flag, candidates); near != "" {
		return err.Hintf("did you mean %s?", dashes(near))
	}
	if owner := flagOwner(tree.Commands, w.flag, "headgate"); owner != "" {
		return err.Hintf("`%s` has this flag", owner)
	}
	return err.Hintf("`%s --help` lists the flags", in.typed)
}

// checkArgs compares the positionals with the command's ArgsUsage, and demands its required flags.
func (in *invocation) checkArgs() *errs.Error {
	if len(in.path) == 0 {
		if len(in.args) > 0 {
			return errs.Invalidf("unexpected argument %q", in.args[0]).Hintf("a command comes first, see `headgate help`")
		}
		return nil
	}
	c := in.path[len(in.path)-1]
	if c.Action == nil {
		return errs.Invalidf("`%s` needs a subcommand", in.typed).Hintf("there are: %s", strings.Join(names(c.Subcommands), ", "))
	}
	want := positionals(c.ArgsUsage)
	for i, p := range want {
		if !p.optional && i >= len(in.args) {
			return errs.Invalidf("%s is missing", p.name).Hintf("usage: %s", usageLine(in.typed, c))
		}
	}
	for i, arg := range in.args[:min(len(in.args), len(want))] {
		literals := strings.Split(want[i].name, "|")
		if strings.ToUpper(want[i].name) == want[i].name || slices.Contains(literals, arg) {
			continue
		}
		err := errs.Invalidf("unknown argument %q", arg).Hintf("there are: %s", strings.Join(literals, ", "))
		if near := suggest.Nearest(arg, literals); near != "" {
			err.Hintf("did you mean %s?", near)
		}
		return err
	}
	if len(in.args) > len(want) && (len(want) == 0 || !want[len(want)-1].many) {
		surplus := in.args[len(want)]
		err := errs.Invalidf("unexpected argument %q", surplus).Hintf("usage: %s", usageLine(in.typed, c))
		var flags []string
		for _, f := range c.Flags {
			flags = append(flags, f.Names()[0])
		}
		if near := suggest.Nearest(surplus, append(names(c.Subcommands), flags...)); slices.Contains(flags, near) {
			err.Hintf("did you mean --%s?", near)
		} else if near != "" {
			err.Hintf("did you mean `%s %s`?", in.typed, near)
		}
		return err
	}
	for _, f := range c.Flags {
		if r, ok := f.(cli.RequiredFlag); ok && r.IsRequired() && in.values[f.Names()[0]] == nil {
			return errs.Invalidf("--%s is missing", f.Names()[0]).Hintf("usage: %s", usageLine(in.typed, c))
		}
	}
	return nil
}

// A positional is one word of an ArgsUsage: VERSION, [NAME], FILE..., [FILE...]. In lower case it is a list of
// literals to choose from: bash|zsh.
type positional struct {
	name     string
	optional bool
	many     bool
}

func positionals(usage string) []positional {
	var out []positional
	for _, w := range strings.Fields(usage) {
		p := positional{name: w}
		if strings.HasPrefix(w, "[") && strings.HasSuffix(w, "]") {
			p.optional, p.name = true, w[1:len(w)-1]
		}
		p.name, p.many = strings.CutSuffix(p.name, "...")
		out = append(out, p)
	}
	return out
}
