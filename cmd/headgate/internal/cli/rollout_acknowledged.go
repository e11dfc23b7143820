package cli

import (
	"fmt"
	"io"
	"time"

	"headgate/cmd/headgate/internal/operate"
)

// writeAcknowledged says who knows of an abort or an undo, and how long the others may go on.
func (a *app) writeAcknowledged(w io.Writer, k operate.Acknowledged, horizon string) {
	const most = 5
	if k.Clients == 0 {
		fmt.Fprintln(w, "  no client that could emit the new version was seen in a store that was open")
		return
	}
	fmt.Fprintf(w, "  %d of %s seen since have acknowledged it, flags revision %d\n", k.Acknowledged, count(k.Seen, "client"), k.Revision)
	if !k.Heard {
		fmt.Fprintln(w, "  no client is known to fetch the flags from headgate serve, or to report which it has: who knows can't be seen")
	}
	for _, m := range k.Missing[:min(most, len(k.Missing))] {
		has := "flags revision not known"
		if m.Revision > 0 {
			has = fmt.Sprintf("flags revision %d", m.Revision)
		}
		fmt.Fprintf(w, "    not yet: %s in %s on %s, last seen %s, %s\n", m.Client, m.Store, m.Release, m.LastSeen.UTC().Format(time.RFC3339), has)
	}
	if n := k.Seen - k.Acknowledged - most; n > 0 {
		fmt.Fprintf(w, "    and %d more\n", n)
	}
	if n := k.Clients - k.Seen; n > 0 {
		fmt.Fprintf(w, "  %s not seen since\n", count(n, "client"))
	}
	if !k.Until.IsZero() {
		fmt.Fprintf(w, "  worst case: a client that is offline emits the new version until it is back, to %s (%s); an exported file, as long as it is cached\n",
			k.Until.UTC().Format(time.RFC3339), horizon)
	}
}
