package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
)

func (a *app) logStatsCommand() *cli.Command {
	return &cli.Command{
		Name:  "stats",
		Usage: "count a log's events, check their order, forecast its growth",
		UsageText: "headgate log stats --log file:data/demo/eventlog@6.db\n" +
			"headgate log stats --env local --store demo --format markdown",
		Description: `Reads each log once. Gaps, duplicates, broken parent chains and events that can't be read are listed and end in
exit 3. High-frequency events, which belong in a store of their own: where the log has times, names with at least
60 accepted events in each of three minutes; where it has none, names with at least 1000 events that outnumber all
others. Growth is measured over the last 28 days of the log's own times.`,
		Flags: logFlags(
			&cli.Float64Flag{Name: "rebuild-rate", Usage: "how many events per second a client rebuilds its state from, `RATE`; 280 was measured on node"},
			&cli.DurationFlag{Name: "rebuild-limit", Usage: "forecast when a rebuild takes longer than `DURATION`", Value: time.Minute},
			formatFlag("markdown"),
		),
		Action: a.logStats,
	}
}

// logFigures are the figures of one log as stats shows them.
type logFigures struct {
	log      storeLog
	head     eventlog.Head
	stats    eventlog.Stats
	forecast eventlog.Forecast
}

func (a *app) logStats(c *cli.Context) error {
	speed, limit := eventlog.NodeRebuildSpeed(), c.Duration("rebuild-limit")
	if c.IsSet("rebuild-rate") {
		speed = eventlog.RebuildSpeed{EventsPerSecond: c.Float64("rebuild-rate"), Basis: "--rebuild-rate"}
	}
	if !(speed.EventsPerSecond > 0) || limit <= 0 {
		return errs.Invalidf("--rebuild-rate and --rebuild-limit must be greater than 0")
	}
	logs, err := a.logs(c)
	if err != nil {
		return err
	}
	var all []logFigures
	problems := int64(0)
	for _, l := range logs {
		f, err := a.figures(c.Context, l, speed, limit)
		if err != nil {
			return err
		}
		for _, n := range f.stats.ProblemCounts {
			problems += n
		}
		all = append(all, f)
	}
	if err := a.render(
		statsJSON(all),
		func(w io.Writer) error { return each(w, all, writeFigures) },
		rendering{"markdown", func(w io.Writer) error { return each(w, all, writeFiguresMarkdown) }},
	); err != nil {
		return err
	}
	if problems > 0 {
		return errs.New(errs.Findings, "%s", counted(problems, "problem")+" in what was read").
			Hintf("real clients go past a gap and a wrong parent; the backend's own log may be whole: `livestore sync export`")
	}
	return nil
}

// figures reads a log once.
func (a *app) figures(ctx context.Context, l storeLog, speed eventlog.RebuildSpeed, limit time.Duration) (f logFigures, err error) {
	r, err := l.open(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f.log = l
	dump, isDump := r.(*dumplog.Reader)
	total := int64(0)
	if isDump { // its head is known only after reading it
		total = max(0, dump.Header().EventCount)
	} else {
		if f.head, err = r.Head(ctx); err != nil {
			return f, err
		}
		total = f.head.Events
	}

	p := a.progress("reading "+l.name(), total)
	defer p.Done()
	collect := eventlog.NewCollector(a.now())
	for e, err := range eventlog.Check(livestore.ClientSeq{}, r.Events(ctx, livestore.ClientSeq{}), collect.Report) {
		var bad *eventlog.Malformed
		switch {
		case errors.As(err, &bad):
			collect.AddMalformed(e)
		case err != nil:
			return f, err
		default:
			collect.Add(e)
		}
		p.Add(1)
	}
	seen := collect.Stats()
	if isDump {
		f.head = eventlog.Head{Confirmed: seen.Last.Global, Last: seen.Last, Events: seen.Total.Events}
		if said := dump.Header().EventCount; said != seen.Total.Events {
			collect.Report(eventlog.Problem{Kind: eventlog.CountMismatch, Seq: seen.Last, Detail: fmt.Sprintf("eventCount says %d, the dump holds %d", said, seen.Total.Events)})
		}
	} else if f.head.Confirmed > f.head.Last.Global {
		collect.Report(eventlog.Problem{Kind: eventlog.HeadBeyondLog, Seq: f.head.Last, Detail: fmt.Sprintf(
			"the client took e%d for confirmed and will not pull what is missing", f.head.Confirmed)})
	}
	f.stats, f.forecast = collect.Stats(), collect.Forecast(speed, limit)
	return f, nil
}
