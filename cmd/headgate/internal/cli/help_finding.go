package cli

import (
	"fmt"
	"io"
	"strings"

	"headgate/planner"
)

// indent puts a piece of text two spaces to the right.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// findingTopic explains the codes of findings: all in a line each, or one whole.
func findingTopic() topic {
	return topic{
		name: "finding", args: "CODE", about: "what a finding's code means, and how to fix it",
		render: func(_ *app, w io.Writer, args []string) error {
			if len(args) == 0 {
				rows := [][]string{{"CODE", "REPLAY", "FLEET", "WHAT"}}
				for _, r := range planner.Rules() {
					rows = append(rows, []string{string(r.Code), string(r.Replay), string(r.Fleet), r.Title})
				}
				if err := table(w, rows); err != nil {
					return err
				}
				_, err := fmt.Fprintf(w, "\nreplay: the new release reads old events. fleet: an old release still in the field reads new events.\nOne code: headgate help finding CODE\n")
				return err
			}
			r, err := planner.RuleFor(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "%s: %s\n\nReplay (the new release reads old events): %s. Fleet (an old release reads new events): %s.\n\n"+
				"What breaks: %s\nFor whom:    %s\nFix:         %s\n\nExample:\n%s\n", r.Code, r.Title, r.Replay, r.Fleet, r.Breaks, r.Who, r.Fix, indent(r.Example))
			return err
		},
	}
}
