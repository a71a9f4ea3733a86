package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerSchedules(api huma.API) {
	const one = "/v1/schedules/{workflow}/{name}"
	huma.Register(api, operation(http.MethodGet, "/v1/schedules", "list-schedules", "List schedules",
		"All of them, by workflow and name: those that plugins declare and those that clients made.", 400, 503), s.listSchedules)
	huma.Register(api, operation(http.MethodGet, one, "get-schedule", "Get a schedule", "", 404, 503), s.getSchedule)
	create := operation(http.MethodPost, "/v1/schedules", "create-schedule", "Make a schedule",
		"Its first slot is the first after now.", 400, 404, 409, 413, 503)
	create.DefaultStatus = http.StatusCreated
	s.takesBody(&create)
	huma.Register(api, create, s.createSchedule)
	bodyOf[ScheduleRequest](api, api.OpenAPI().Paths[create.Path].Post, false)
	huma.Register(api, operation(http.MethodDelete, one, "delete-schedule", "Delete a schedule",
		"One that a client made: what a plugin declares, it alone removes.", 404, 409, 503), s.deleteSchedule)
	huma.Register(api, operation(http.MethodPost, one+"/pause", "pause-schedule", "Pause a schedule",
		"No slot of it comes due until it is resumed.", 404, 503), s.pauseSchedule)
	huma.Register(api, operation(http.MethodPost, one+"/resume", "resume-schedule", "Resume a schedule",
		"The slots of the pause count as missed: its catch-up policy says what becomes of them.", 404, 503), s.resumeSchedule)
	trigger := operation(http.MethodPost, one+"/trigger", "trigger-schedule", "Trigger a schedule now",
		"Begins its run now, besides its slots.", 400, 404, 409, 503)
	trigger.DefaultStatus = http.StatusCreated
	huma.Register(api, trigger, s.triggerSchedule)
}

// ScheduleRequest is the body of a new schedule.
type ScheduleRequest struct {
	Workflow  string          `json:"workflow" doc:"The workflow that it triggers."`
	Name      string          `json:"name" minLength:"1" maxLength:"64" doc:"Its name, unique in the workflow."`
	Cron      string          `json:"cron" doc:"Five fields, six with seconds first, @every 90s, @hourly, @daily …"`
	Zone      string          `json:"zone,omitempty" doc:"Of the IANA time zone database; UTC when absent."`
	ForeignID string          `json:"foreign_id,omitempty" doc:"Of its runs; its name when absent."`
	Object    json.RawMessage `json:"object,omitempty" doc:"Of its runs: any JSON value; null when absent."`
	StartAt   string          `json:"start_at,omitempty" doc:"The status to begin in; the workflow's start when absent."`
	CatchUp   string          `json:"catch_up,omitempty" enum:"one,all,none" doc:"What becomes of missed slots; one when absent."`
}

// Schedule is a schedule as the API shows it.
type Schedule struct {
	Workflow   string          `json:"workflow" doc:"The workflow that it triggers."`
	Name       string          `json:"name" doc:"Its name, unique in the workflow."`
	Cron       string          `json:"cron" doc:"When its slots are."`
	Zone       string          `json:"zone" doc:"Of the IANA time zone database."`
	ForeignID  string          `json:"foreign_id" doc:"Of its runs."`
	Object     json.RawMessage `json:"object" doc:"Of its runs."`
	StartAt    string          `json:"start_at,omitempty" doc:"The status that its runs begin in, when it is not the start."`
	CatchUp    string          `json:"catch_up" enum:"one,all,none" doc:"What becomes of missed slots."`
	Plugin     bool            `json:"plugin" doc:"A plugin declares it; otherwise a client made it."`
	Paused     bool            `json:"paused" doc:"No slot comes due."`
	Next       time.Time       `json:"next,omitzero" doc:"Its next slot."`
	Since      time.Time       `json:"since" doc:"When it was made or changed: what @every counts from."`
	LastSlot   time.Time       `json:"last_slot,omitzero" doc:"The last slot that is done."`
	LastAt     time.Time       `json:"last_at,omitzero" doc:"When something last became of a slot."`
	LastResult string          `json:"last_result,omitempty" doc:"What that was: triggered, skipped and why, or failed and why."`
	LastRunID  string          `json:"last_run_id,omitempty" doc:"The run that a slot began last."`
}

func viewSchedule(s *runtime.Schedule) Schedule {
	view := Schedule{
		Workflow: s.Workflow, Name: s.Name, Cron: s.Cron, Zone: zoneOf(&s.ScheduleSpec), ForeignID: s.ForeignID, Object: s.Object,
		StartAt: s.StartAt, CatchUp: string(s.CatchUp), Plugin: s.Plugin, Paused: s.Paused, Next: s.Next, Since: s.Since,
		LastSlot: s.LastSlot, LastAt: s.LastAt, LastResult: s.LastResult,
	}
	if view.ForeignID == "" {
		view.ForeignID = s.Name
	}
	if len(view.Object) == 0 {
		view.Object = json.RawMessage("null")
	}
	if view.CatchUp == "" {
		view.CatchUp = string(runtime.CatchUpOne)
	}
	if !s.LastRun.IsZero() {
		view.LastRunID = s.LastRun.String()
	}
	return view
}

// ScheduleList holds schedules, by workflow and name.
type ScheduleList struct {
	Schedules []Schedule `json:"schedules" nullable:"false"`
}

type schedulesInput struct {
	Workflows []string `query:"workflow,explode" nullable:"false" doc:"Only schedules of one of these workflows."`
}

type schedulesOutput struct{ Body ScheduleList }

func (s *Server) listSchedules(ctx context.Context, in *schedulesInput) (*schedulesOutput, error) {
	all, err := s.opt.Engine.Schedules(ctx)
	if err != nil {
		return nil, problemOf(err)
	}
	wanted := map[string]bool{}
	for _, name := range in.Workflows {
		wanted[name] = true
		if slices.ContainsFunc(all, func(s runtime.Schedule) bool { return s.Workflow == name }) {
			continue
		}
		if err := s.checkWorkflow(ctx, name); err != nil {
			return nil, err
		}
	}
	out := &schedulesOutput{Body: ScheduleList{Schedules: []Schedule{}}}
	for i := range all {
		if len(wanted) == 0 || wanted[all[i].Workflow] {
			out.Body.Schedules = append(out.Body.Schedules, viewSchedule(&all[i]))
		}
	}
	return out, nil
}

type scheduleInput struct {
	Workflow string `path:"workflow"`
	Name     string `path:"name"`
}

type scheduleOutput struct{ Body Schedule }

func (s *Server) getSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	all, err := s.opt.Engine.Schedules(ctx)
	if err != nil {
		return nil, problemOf(err)
	}
	for i := range all {
		if all[i].Workflow == in.Workflow && all[i].Name == in.Name {
			return &scheduleOutput{Body: viewSchedule(&all[i])}, nil
		}
	}
	return nil, unknownSchedule(in)
}

type newScheduleInput struct {
	RawBody []byte `contentType:"application/json"`
}

type newScheduleOutput struct {
	Location string `header:"Location" doc:"The schedule."`
	Body     Schedule
}

func (s *Server) createSchedule(ctx context.Context, in *newScheduleInput) (*newScheduleOutput, error) {
	body, err := decodeBody[ScheduleRequest](in.RawBody, "a schedule", `send {"workflow": "…", "name": "…", "cron": "0 6 * * *"}`)
	if err != nil {
		return nil, err
	}
	made, err := s.opt.Engine.CreateSchedule(ctx, runtime.ScheduleSpec{
		Workflow: body.Workflow, Name: body.Name, Cron: body.Cron, Zone: body.Zone, ForeignID: body.ForeignID,
		Object: body.Object, StartAt: body.StartAt, CatchUp: runtime.CatchUp(body.CatchUp),
	})
	if err != nil {
		return nil, problemOf(err)
	}
	out := &newScheduleOutput{Body: viewSchedule(&made)}
	out.Location = "/v1/schedules/" + escaped(made.Workflow) + "/" + escaped(made.Name)
	return out, nil
}

func (s *Server) deleteSchedule(ctx context.Context, in *scheduleInput) (*struct{}, error) {
	if err := s.opt.Engine.DeleteSchedule(ctx, in.Workflow, in.Name); err != nil {
		return nil, scheduleProblem(in, err)
	}
	return nil, nil //nolint:nilnil // huma's way to answer 204
}

func (s *Server) pauseSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	sched, err := s.opt.Engine.PauseSchedule(ctx, in.Workflow, in.Name)
	if err != nil {
		return nil, scheduleProblem(in, err)
	}
	return &scheduleOutput{Body: viewSchedule(&sched)}, nil
}

func (s *Server) resumeSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	sched, err := s.opt.Engine.ResumeSchedule(ctx, in.Workflow, in.Name)
	if err != nil {
		return nil, scheduleProblem(in, err)
	}
	return &scheduleOutput{Body: viewSchedule(&sched)}, nil
}

func (s *Server) triggerSchedule(ctx context.Context, in *scheduleInput) (*triggerOutput, error) {
	done, err := s.opt.Engine.TriggerSchedule(ctx, in.Workflow, in.Name)
	if err != nil {
		return nil, scheduleProblem(in, err)
	}
	return triggered(&done), nil
}

// scheduleProblem says how an error is answered where the path names a schedule.
func scheduleProblem(in *scheduleInput, err error) *Problem {
	if errors.Is(err, runtime.ErrNotFound) {
		return unknownSchedule(in)
	}
	return problemOf(err)
}

func unknownSchedule(in *scheduleInput) *Problem {
	return problem(http.StatusNotFound, "unknown-schedule", "There is no such schedule",
		"workflow "+quoted(in.Workflow)+" has no schedule "+quoted(in.Name), "GET /v1/schedules lists the schedules")
}
