package cli

import (
	"github.com/urfave/cli/v2"
)

func (a *app) initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Category:  daily,
		Usage:     "write headgate.yaml for the app in this directory",
		UsageText: "headgate init\nheadgate init --dry-run",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "replace a headgate.yaml that is there"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the file, write nothing"},
		},
		Action: func(c *cli.Context) error { return nil },
	}
}
