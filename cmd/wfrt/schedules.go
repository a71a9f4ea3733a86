package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newSchedules() *cobra.Command {
	cmd := &cobra.Command{Use: "schedules", Short: "List, make and change what triggers runs by the clock"}
	cmd.AddCommand(a.newSchedulesList(), a.newSchedulesCreate(),
		a.newSchedule("pause", "Let no slot of a schedule come due until it is resumed", a.showing((*client.Client).PauseSchedule)),
		a.newSchedule("resume", "Let the slots of a schedule come due again", a.showing((*client.Client).ResumeSchedule)),
		a.newSchedule("delete", "Delete a schedule that no plugin declares", a.deleteSchedule),
		a.newSchedule("trigger", "Begin the run of a schedule now, besides its slots", a.triggerSchedule))
	return cmd
}

func (a *app) newSchedulesList() *cobra.Command {
	var workflows []string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List schedules, their next slots and what became of the last",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Schedules(cmd.Context(), workflows)
			if err != nil {
				return err
			}
			return a.printSchedules(&list)
		},
	}
	cmd.Flags().StringArrayVar(&workflows, "workflow", nil, "only schedules of this `workflow`; may be given several times")
	return cmd
}

// printSchedules prints a list of schedules.
func (a *app) printSchedules(list *httpapi.ScheduleList) error {
	if a.json() {
		return a.printJSON(list)
	}
	t := newTable(a.out, "WORKFLOW", "SCHEDULE", "CRON", "ZONE", "FOREIGN ID", "OF", "NEXT", "LAST", "RESULT")
	for i := range list.Schedules {
		s := &list.Schedules[i]
		of, next := "client", clock(s.Next)
		if s.Plugin {
			of = "plugin"
		}
		if s.Paused {
			next = "paused"
		}
		t.row(s.Workflow, s.Name, s.Cron, s.Zone, s.ForeignID, of, next, clock(s.LastSlot), shortened(s.LastResult))
	}
	return t.flush()
}

func (a *app) newSchedulesCreate() *cobra.Command {
	var spec httpapi.ScheduleRequest
	var object string
	cmd := &cobra.Command{
		Use:   "create WORKFLOW NAME CRON",
		Short: "Make a schedule",
		Long: `Make a schedule that triggers a run of a workflow at each slot of CRON: five fields (minute hour day month weekday), six with
seconds first, @every 90s, @hourly, @daily, @weekly, @monthly or @yearly. Its first slot is the first after now.

--catch-up says what becomes of slots that were missed while the server was down or the schedule paused: one, the latest of
them triggers; all, every one does, one after the end of another; none.`,
		Example: `  wfrt schedules create report nightly '0 3 * * *' --zone Europe/Berlin
  wfrt schedules create health probe '@every 90s' --catch-up none`,
		Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Workflow, spec.Name, spec.Cron = args[0], args[1], args[2]
			var err error
			if spec.Object, err = a.readObject(object); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			made, err := c.CreateSchedule(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return a.printSchedule(&made)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Zone, "zone", "", "time `zone` of the IANA database (default UTC)")
	flags.StringVar(&spec.ForeignID, "foreign-id", "", "foreign `ID` of its runs (default: NAME)")
	flags.StringVar(&object, "object", "", "object of its runs: `JSON`, @FILE, or - for standard input")
	flags.StringVar(&spec.StartAt, "start-at", "", "the `status` that its runs begin in (default: the workflow's start)")
	flags.StringVar(&spec.CatchUp, "catch-up", "", "what becomes of missed slots: `one`, all or none (default one)")
	return cmd
}

// printSchedule prints one schedule.
func (a *app) printSchedule(s *httpapi.Schedule) error {
	if a.json() {
		return a.printJSON(s)
	}
	return a.printSchedules(&httpapi.ScheduleList{Schedules: []httpapi.Schedule{*s}})
}

// newSchedule returns a command about one schedule.
func (a *app) newSchedule(
	name, short string, do func(ctx context.Context, c *client.Client, workflow, name string) error,
) *cobra.Command {
	return &cobra.Command{
		Use:   name + " WORKFLOW NAME",
		Short: short,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return do(cmd.Context(), c, args[0], args[1])
		},
	}
}

// showing returns a function that changes a schedule and prints it.
func (a *app) showing(
	change func(c *client.Client, ctx context.Context, workflow, name string) (httpapi.Schedule, error),
) func(ctx context.Context, c *client.Client, workflow, name string) error {
	return func(ctx context.Context, c *client.Client, workflow, name string) error {
		s, err := change(c, ctx, workflow, name)
		if err != nil {
			return err
		}
		return a.printSchedule(&s)
	}
}

func (a *app) deleteSchedule(ctx context.Context, c *client.Client, workflow, name string) error {
	if err := c.DeleteSchedule(ctx, workflow, name); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(map[string]string{"workflow": workflow, "deleted": name})
	}
	a.print("deleted schedule %s of workflow %s\n", oneLine(name), oneLine(workflow))
	return nil
}

func (a *app) triggerSchedule(ctx context.Context, c *client.Client, workflow, name string) error {
	run, err := c.TriggerSchedule(ctx, workflow, name)
	if err != nil {
		return err
	}
	return a.printRun(&run)
}
