package cli

import (
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/script"
)

// The two parts of the first help screen.
const (
	daily    = "daily"    // what people type
	plumbing = "plumbing" // what stands under it
)

// commands lists every command in the order of the help screen. A new command is one constructor in a file of
// its own, one line here and one script test; CONTRIBUTING.md walks through it.
func (a *app) commands() []*cli.Command {
	return []*cli.Command{
		a.initCommand(),
		a.checkCommand(),
		a.checklistCommand(),
		a.planCommand(),
		a.applyCommand(),
		a.gateCommand(),
		a.migrationCommand(),
		a.rolloutCommand(),
		a.statusCommand(),
		a.rollbackCommand(),
		a.stopCommand(),
		a.flagsCommand(),
		a.releaseCommand(),
		a.baselineCommand(),
		a.logCommand(),
		a.stateCommand(),
		a.generateCommand(),
		a.doctorCommand(),
		a.epochCommand(),
		a.censusCommand(),
		a.floorCommand(),
		a.resetCommand(),
		a.workerCommand(),
		a.storeCommand(),
		a.serveCommand(),
		a.tokenCommand(),
		a.webhookCommand(),
		a.lockCommand(),
		a.auditCommand(),
		a.completionCommand(),
		a.helpCommand(),
	}
}

// topics lists what `headgate help TOPIC` explains beside the commands.
func (a *app) topics() []topic {
	return []topic{
		findingTopic(),
		exitCodesTopic(),
		configTopic(),
		rolloutFileTopic(),
		correctionsFileTopic(),
	}
}

// An app is one run of the program: the world around it, passed in, and what the run has found out so far.
// Every command is a method on it.
type app struct {
	stdin       io.Reader
	interactive bool    // someone can be asked: stdin and stderr are a terminal
	stdout      *stream // results
	stderr      *stream // progress, logs, errors
	lookupEnv   func(string) (string, bool)
	now         func() time.Time
	dir         string // working directory, absolute
	log         *slog.Logger

	format      string          // of this run: text, json, or one that the command adds
	line        string          // the whole command line, to be typed again
	typed       string          // the command as far as it was understood: "headgate release add"
	walking     bool            // the command is a part of headgate rollback on a terminal: it may ask
	sampling    sampling        // what the walk does where there are many stores
	rendered    bool            // a result is on stdout already
	interrupted <-chan struct{} // closed when the command is
	configPath  string          // --config, may be empty
	server      string          // --server or HEADGATE_SERVER: an address, none, or empty
	serverTyped bool            // --server
	loaded      *config.Config
	compiled    *script.Compiled // what this run's sandboxes compiled
	auths       auths            // towards the environments' sync backends

	inventories inventories // the environments' stores
	forceClosed bool        // the user's word that no client has its log open
	clientLogs  clientLogs  // that this run appended to
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, lookupEnv func(string) (string, bool), now func() time.Time) *app {
	errStream := newStream(stderr)
	return &app{
		stdin:       stdin,
		interactive: isTerminal(stdin) && errStream.terminal,
		stdout:      newStream(stdout),
		stderr:      errStream,
		lookupEnv:   lookupEnv,
		now:         now,
		log:         slog.New(slog.DiscardHandler),
		format:      formatText,
		line:        "headgate",
		typed:       "headgate",
		compiled:    compiled(lookupEnv, now),
		sampling:    defaultSampling(),
	}
}

// tree is the whole command line as urfave/cli runs it. Help, version, completion, suggestions and every usage
// error are headgate's own (argv.go), because the library does them only when flags come first.
func (a *app) tree() *cli.App {
	tree := &cli.App{
		Name:                      "headgate",
		Usage:                     "make changing the events of a LiveStore app safe",
		Flags:                     globalFlags(),
		Commands:                  a.commands(),
		HideHelp:                  true,
		HideHelpCommand:           true,
		HideVersion:               true,
		Writer:                    a.stdout,
		ErrWriter:                 a.stderr,
		ExitErrHandler:            func(*cli.Context, error) {}, // Main returns the status, nothing else exits
		OnUsageError:              usageError,
		DisableSliceFlagSeparator: true, // a value may hold a comma
	}
	prepare(tree.Commands)
	return tree
}

func prepare(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelp = true
		c.HideHelpCommand = true
		c.OnUsageError = usageError
		prepare(c.Subcommands)
	}
}

// usageError turns what the library refuses about a flag's value into an error of ours.
func usageError(_ *cli.Context, err error, _ bool) error {
	if errs.As(err) != nil {
		return err
	}
	return errs.Invalidf("%s", err.Error())
}

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "read `FILE` instead of the nearest headgate.yaml"},
		&cli.StringFlag{Name: "server", Usage: "work through the server at `URL`, with the token in HEADGATE_TOKEN; none for here"},
		choice("format", "print the result as `FORMAT`", formatText, formatJSON),
		choice("log-level", "log from `LEVEL` on, to stderr", "warn", "error", "info", "debug"),
		&cli.BoolFlag{Name: "no-color", Usage: "print without colours; so does NO_COLOR"},
		&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "explain the command"},
		&cli.BoolFlag{Name: "version", Usage: "print the version"},
	}
}

// flagEnv names the environment variables that stand in for a flag that is not given.
func flagEnv(flag string) string {
	switch flag {
	case "config":
		return "HEADGATE_CONFIG"
	case "format":
		return "HEADGATE_FORMAT"
	case "log-level":
		return "HEADGATE_LOG_LEVEL"
	case "env":
		return "HEADGATE_ENV"
	case "server":
		return "HEADGATE_SERVER"
	}
	return ""
}

// configure applies the global flags.
func (a *app) configure(in invocation) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.value("log-level", "warn"))); err != nil {
		return errs.Invalidf("--log-level: %v", err)
	}
	a.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	a.configPath = in.value("config", "")
	if a.server, a.serverTyped = in.value("server", ""), in.values["server"] != nil; !a.serverTyped {
		address, _ := a.lookupEnv(flagEnv("server"))
		a.server = strings.TrimSpace(address)
	}
	_, noColor := in.values["no-color"]
	if v, ok := a.lookupEnv("NO_COLOR"); ok && v != "" {
		noColor = true
	}
	if v, ok := a.lookupEnv("TERM"); ok && v == "dumb" {
		noColor = true
	}
	a.stdout.color = a.stdout.terminal && !noColor
	a.stderr.color = a.stderr.terminal && !noColor
	return nil
}

// readConfig reads headgate.yaml as it is now.
func (a *app) readConfig() (*config.Config, error) {
	return config.Load(config.Source{Path: a.configPath, Dir: a.dir, LookupEnv: a.lookupEnv})
}

// config returns headgate.yaml, read on first use: --config, or the nearest one upwards of the working directory.
func (a *app) config() (*config.Config, error) {
	if a.loaded == nil {
		c, err := a.readConfig()
		if err != nil {
			return nil, err
		}
		a.log.Debug("read configuration", "path", c.Path)
		a.loaded = c
	}
	return a.loaded, nil
}
