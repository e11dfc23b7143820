package cli

import (
	"fmt"
	"io"

	"headgate/cmd/headgate/internal/operate"
)

func writeCommitted(w io.Writer, c operate.CommittedCount) {
	const most = 5
	fmt.Fprintf(w, "  %s of the new version in the logs, which stay", counted(c.Events, "event"))
	if len(c.Stores) > 0 {
		fmt.Fprintf(w, ": ")
		for i, s := range c.Stores[:min(most, len(c.Stores))] {
			if i > 0 {
				fmt.Fprint(w, ", ")
			}
			fmt.Fprintf(w, "%s %d (to e%d)", s.Store, s.Events, s.Head)
		}
		if n := len(c.Stores) - most; n > 0 {
			fmt.Fprintf(w, " and %d more stores", n)
		}
	}
	if c.Unsent > 0 {
		fmt.Fprintf(w, "; %s on clients, not sent yet", fmt.Sprint(c.Unsent, " more"))
	}
	fmt.Fprintln(w)
	for _, u := range c.Unread[:min(most, len(c.Unread))] {
		fmt.Fprintf(w, "  not read: %s: %s\n", u.Store, u.Error)
	}
	if n := len(c.Unread) - most; n > 0 {
		fmt.Fprintf(w, "  not read: %d more logs\n", n)
	}
}
