// Command simulate runs a scenario of package simulator and prints its figures: a line of JSON on standard output, and
// a table for people on standard error. docs/scale.md describes the scenarios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/test/simulator"
)

func main() {
	process.RelaxGC() // as airlock dev does
	ctx, stop := process.Context()
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		process.Exit(1, err)
	}
}

// scenario declares its flags and returns what runs it after they have been parsed.
type scenario func(*flag.FlagSet, *simulator.Options) func(context.Context) (simulator.Report, error)

var scenarios = map[string]scenario{
	"idle": idle, "plain": plain, "backlog": backlog, "dead": dead, "fair": fair, "watch": watch, "tenants": tenants,
}

func run(ctx context.Context, args []string) error {
	names := strings.Join(slices.Sorted(maps.Keys(scenarios)), ", ")
	if len(args) == 0 {
		return fmt.Errorf("name a scenario: %s; its flags are listed by -help. Or: compare BASE NOW, sums FILE", names)
	}
	switch {
	case args[0] == "compare" && len(args) == 3:
		return compare(args[1], args[2])
	case args[0] == "sums" && len(args) == 2:
		return sums(args[1])
	}
	declare, ok := scenarios[args[0]]
	if !ok {
		return fmt.Errorf("there is no scenario %q; there are: %s", args[0], names)
	}
	var o simulator.Options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.IntVar(&o.Executors, "executors", 4, "processes that run jobs")
	flags.IntVar(&o.Slots, "slots", 8, "jobs that each executor runs at the same time")
	flags.IntVar(&o.APIs, "apis", 1, "processes of the API")
	flags.StringVar(&o.Dir, "dir", "", "folder of the emulators' data; default: in memory")
	latency := flags.Float64("latency", 1, "factor of the injected latencies; 0: none")
	verbose := flags.Bool("v", false, "print the warnings of the product")
	measure := declare(flags, &o)
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	o.Latency = simulator.DefaultLatency.Times(*latency)
	if *verbose {
		c := zap.NewDevelopmentConfig()
		c.Level.SetLevel(zap.WarnLevel)
		var err error
		if o.Log, err = c.Build(); err != nil {
			return err
		}
	}
	report, err := measure(ctx)
	report.Parameters["latency"] = fmt.Sprint(*latency)
	return errors.Join(err, report.WriteTable(os.Stderr), report.WriteJSON(os.Stdout))
}

func idle(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	warmUp := flags.Duration("warm-up", 15*time.Second, "time before the measurement")
	period := flags.Duration("period", 30*time.Second, "time of the measurement")
	return func(ctx context.Context) (simulator.Report, error) { return simulator.Idle(ctx, *o, *warmUp, *period) }
}

func plain(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	var p simulator.PlainOptions
	flags.IntVar(&p.Executions, "n", 1000, "executions under load")
	flags.IntVar(&p.Lone, "lone", 50, "executions before, one after the other")
	flags.IntVar(&p.Clients, "clients", 32, "clients that post at the same time")
	flags.DurationVar(&p.Wait, "wait", 0, "what each job takes")
	flags.DurationVar(&p.Baseline, "baseline", 5*time.Second, "time for which the idle fleet is measured first")
	return func(ctx context.Context) (simulator.Report, error) { return simulator.Plain(ctx, *o, p) }
}

func fair(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	var p simulator.FairOptions
	flags.IntVar(&p.Behind, "behind", 1000, "runs of the tenant that posts first")
	flags.DurationVar(&p.Long, "long", time.Second, "what each of them takes")
	flags.DurationVar(&p.Short, "short", 10*time.Millisecond, "what a run of the other tenant takes")
	flags.IntVar(&p.Repeat, "repeat", 3, "runs of the other tenant, one after the other")
	flags.DurationVar(&p.Limit, "limit", time.Minute, "for which one of them is waited for")
	flags.BoolVar(&p.BatchAda, "batch-first", false, "the first tenant posts a batch")
	flags.BoolVar(&p.BatchBob, "batch-second", false, "the other tenant posts batches")
	flags.IntVar(&p.Clients, "clients", 32, "clients that post at the same time")
	return func(ctx context.Context) (simulator.Report, error) { return simulator.Fair(ctx, *o, p) }
}

func backlog(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	p := simulator.BacklogOptions{Backlog: simulator.Backlog{Tenants: 1}}
	flags.IntVar(&p.Each, "waiting", 1000, "executions that wait")
	declareBacklog(flags, &p)
	return func(ctx context.Context) (simulator.Report, error) { return simulator.RunBacklog(ctx, *o, p) }
}

func declareBacklog(flags *flag.FlagSet, p *simulator.BacklogOptions) {
	flags.IntVar(&p.Executions, "n", 500, "executions that are measured while the backlog runs")
	flags.DurationVar(&p.WarmUp, "warm-up", 10*time.Second, "time before the measurements")
	flags.DurationVar(&p.Period, "period", 20*time.Second, "time of the measurement while all slots are busy")
	flags.StringVar(&p.Input.Wait, "wait", "100ms", "what each job takes")
}

func tenants(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	p := simulator.BacklogOptions{}
	flags.IntVar(&p.Tenants, "tenants", 1000, "tenants")
	flags.IntVar(&p.Each, "each", 2, "executions of each that wait")
	declareBacklog(flags, &p)
	return func(ctx context.Context) (simulator.Report, error) { return simulator.RunBacklog(ctx, *o, p) }
}

func dead(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	b := simulator.Backlog{Tenants: 1}
	flags.IntVar(&b.Each, "waiting", 1000, "executions that wait")
	warmUp := flags.Duration("warm-up", 10*time.Second, "time before the executor dies")
	longest := flags.Duration("limit", 5*time.Minute, "for which its executions are waited for")
	return func(ctx context.Context) (simulator.Report, error) {
		return simulator.Dead(ctx, *o, b, *warmUp, *longest)
	}
}

func watch(flags *flag.FlagSet, o *simulator.Options) func(context.Context) (simulator.Report, error) {
	executions := flags.Int("n", 50, "executions, one after the other")
	watchers := flags.Int("watchers", 1, "processes of the API that watch each")
	wait := flags.Duration("wait", 500*time.Millisecond, "what each job takes")
	return func(ctx context.Context) (simulator.Report, error) {
		return simulator.Watch(ctx, *o, *executions, *watchers, *wait)
	}
}

// compare compares two files of lines that this program has printed.
func compare(base, now string) error {
	before, err := read(base)
	if err != nil {
		return err
	}
	after, err := read(now)
	if err != nil {
		return err
	}
	return simulator.Compare(os.Stdout, before, after)
}

// sums prints what the target load costs by a file of lines that this program has printed.
func sums(file string) error {
	reports, err := read(file)
	if err != nil {
		return err
	}
	return simulator.WriteSums(os.Stdout, reports, simulator.TargetLoad)
}

func read(file string) ([]simulator.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return simulator.ReadReports(f)
}
