package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// Schedules returns the schedules of some workflows, or with none of all.
func (c *Client) Schedules(ctx context.Context, workflows []string) (httpapi.ScheduleList, error) {
	return get[httpapi.ScheduleList](ctx, c, url.Values{"workflow": workflows}, "v1", "schedules")
}

// CreateSchedule makes a schedule.
func (c *Client) CreateSchedule(ctx context.Context, spec httpapi.ScheduleRequest) (httpapi.Schedule, error) {
	return send[httpapi.Schedule](ctx, c, http.MethodPost, spec, "v1", "schedules")
}

// PauseSchedule lets no slot of a schedule come due until it is resumed.
func (c *Client) PauseSchedule(ctx context.Context, workflow, name string) (httpapi.Schedule, error) {
	return send[httpapi.Schedule](ctx, c, http.MethodPost, nil, "v1", "schedules", workflow, name, "pause")
}

// ResumeSchedule lets the slots of a schedule come due again.
func (c *Client) ResumeSchedule(ctx context.Context, workflow, name string) (httpapi.Schedule, error) {
	return send[httpapi.Schedule](ctx, c, http.MethodPost, nil, "v1", "schedules", workflow, name, "resume")
}

// DeleteSchedule removes a schedule that a client made.
func (c *Client) DeleteSchedule(ctx context.Context, workflow, name string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"v1", "schedules", workflow, name}}, nil)
	return err
}

// TriggerSchedule begins the run of a schedule now.
func (c *Client) TriggerSchedule(ctx context.Context, workflow, name string) (httpapi.Run, error) {
	return send[httpapi.Run](ctx, c, http.MethodPost, nil, "v1", "schedules", workflow, name, "trigger")
}
