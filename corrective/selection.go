package corrective

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventsql"
)

// A Selection picks the events that a bad release, or a bad change, committed. Every condition that is given must
// hold.
type Selection struct {
	Release string           `yaml:"release,omitempty" json:"release,omitempty"` // that wrote them; see [Certainty]
	Events  []string         `yaml:"events,omitempty" json:"events,omitempty"`   // names; none for all
	Where   string           `yaml:"where,omitempty" json:"where,omitempty"`     // an SQL expression over one event; see eventsql
	Since   livestore.SeqNum `yaml:"since,omitempty" json:"since,omitempty"`     // the first number
	After   time.Time        `yaml:"after,omitempty" json:"after,omitzero"`      // when the backend accepted the first one
	Clients []string         `yaml:"clients,omitempty" json:"clients,omitempty"` // client ids; none for all
}

// Empty reports whether s has no condition at all.
func (s Selection) Empty() bool {
	return s.Release == "" && len(s.Events) == 0 && len(s.Clients) == 0 && !s.bounded()
}

// String says which events s picks.
func (s Selection) String() string {
	what := "all events"
	if len(s.Events) > 0 {
		what = strings.Join(s.Events, ", ")
	}
	if s.Release != "" {
		what += " written by " + s.Release
	}
	if s.Since > 0 {
		what += fmt.Sprintf(" since e%d", s.Since)
	}
	if !s.After.IsZero() {
		what += " since " + s.After.UTC().Format(time.RFC3339)
	}
	if len(s.Clients) > 0 {
		what += " of client " + strings.Join(s.Clients, ", ")
	}
	if s.Where != "" {
		what += " where " + s.Where
	}
	return what
}

// bounded reports whether something beside the release tells the bad events from the others.
func (s Selection) bounded() bool {
	return s.Where != "" || s.Since > 0 || !s.After.IsZero()
}

// A Certainty says how it is known which release wrote an event. The words are stable.
type Certainty string

const (
	Proven   Certainty = "proven"   // its session id carries the release's stamp
	Inferred Certainty = "inferred" // the census knows the client on one release
	// Unknown: it may be of any release. Such an event is never taken for a good one.
	Unknown Certainty = "unknown"
)

// A matcher is a selection at work on one store's log.
type matcher struct {
	Selection
	where *eventsql.Expr
	ran   func(client string) string // the release that the census knows a client on, empty for none
}

// compile makes s ready for a log. ran may be nil. The caller closes the matcher.
func (s Selection) compile(ctx context.Context, ran func(client string) string) (*matcher, error) {
	m := &matcher{Selection: s, ran: ran}
	if ran == nil {
		m.ran = func(string) string { return "" }
	}
	if s.Where == "" {
		return m, nil
	}
	var err error
	m.where, err = eventsql.Compile(ctx, s.Where)
	return m, err
}

func (m *matcher) close() {
	if m.where != nil {
		m.where.Close()
	}
}

// Validate reports what can't be read of s, before any log is.
func (s Selection) Validate(ctx context.Context) error {
	if s.Empty() {
		return errs.Invalidf("nothing says which events are bad").
			Hintf("name the release that wrote them, or the event; --where, --since and --client narrow it down")
	}
	m, err := s.compile(ctx, nil)
	if err != nil {
		return err
	}
	m.close()
	return nil
}

// ownClients is what headgate's own client ids begin with: no release of the app wrote their events.
const ownClients = "hg:"

// match reports whether an event is one of the bad ones, and how surely its release is known.
func (m *matcher) match(ctx context.Context, e livestore.Event) (bool, Certainty, error) {
	if e.Seq.Global < m.Since || len(m.Events) > 0 && !slices.Contains(m.Events, e.Name) ||
		len(m.Clients) > 0 && !slices.Contains(m.Clients, e.ClientID) {
		return false, "", nil
	}
	known, wrote := m.writer(e)
	if m.Release != "" {
		if strings.HasPrefix(e.ClientID, ownClients) || known == Proven && !sameRelease(wrote, m.Release) {
			return false, "", nil
		}
		if known == Inferred && !sameRelease(wrote, m.Release) {
			known = Unknown // it may have run the bad one before, or meanwhile
		}
	}
	if !m.After.IsZero() && !e.Pending {
		if e.CreatedAt.IsZero() {
			return false, "", errs.Invalidf("the log does not say when its events were committed: a time can't pick any").
				Hintf("give the number of the first bad event instead: --since e%d", e.Seq.Global)
		}
		if e.CreatedAt.Before(m.After) {
			return false, "", nil
		}
	}
	if m.where == nil {
		return true, known, nil
	}
	ok, err := m.where.True(ctx, e)
	return ok, known, err
}

// writer says which release wrote an event, as far as that is known.
func (m *matcher) writer(e livestore.Event) (Certainty, string) {
	if r, ok := eventlog.ReleaseOf(e.SessionID); ok {
		return Proven, r
	}
	if r := m.ran(e.ClientID); r != "" {
		return Inferred, r
	}
	return Unknown, ""
}

// sameRelease compares versions as stamps carry them: of a prerelease the dots can't be told from dashes.
func sameRelease(a, b string) bool { return eventlog.Dashed(a) == eventlog.Dashed(b) }
