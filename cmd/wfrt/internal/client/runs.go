package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// Run returns a run as it is now.
func (c *Client) Run(ctx context.Context, id string) (httpapi.Run, error) {
	return get[httpapi.Run](ctx, c, nil, "v1", "runs", id)
}

// Runs returns one page of the runs that the query selects.
func (c *Client) Runs(ctx context.Context, query url.Values) (httpapi.RunPage, error) {
	return get[httpapi.RunPage](ctx, c, query, "v1", "runs")
}

// History returns one page of a run's history, oldest first, behind a cursor; "" is the beginning.
func (c *Client) History(ctx context.Context, id, cursor string) (httpapi.HistoryPage, error) {
	query := url.Values{"limit": {"1000"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	return get[httpapi.HistoryPage](ctx, c, query, "v1", "runs", id, "history")
}

// Await waits until a run is, or once was, where it is awaited, or has ended elsewhere. It waits as long as ctx lasts, asking
// again whenever the server answers that nothing is decided yet.
func (c *Client) Await(ctx context.Context, id string, until Until) (httpapi.Awaited, error) {
	query := url.Values{}
	for name, value := range map[string]string{"status": until.Status, "state": until.State} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for {
		answer, err := get[httpapi.Awaited](ctx, c, query, "v1", "runs", id, "await")
		if err != nil || !answer.TimedOut {
			return answer, err
		}
	}
}

// Logs returns one page of what a run's handlers logged, oldest first, behind a cursor; "" is the beginning.
func (c *Client) Logs(ctx context.Context, id, cursor string) (httpapi.LogPage, error) {
	query := url.Values{"limit": {"1000"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	return get[httpapi.LogPage](ctx, c, query, "v1", "runs", id, "logs")
}

// Control has a run paused, resumed, cancelled or erased: action is pause, resume, cancel or erase. It returns the run as it then is.
func (c *Client) Control(ctx context.Context, id, action string, note httpapi.NoteRequest) (httpapi.Run, error) {
	return send[httpapi.Run](ctx, c, http.MethodPost, note, "v1", "runs", id, action)
}

// Move has a run enter a status. It returns the run as it then is.
func (c *Client) Move(ctx context.Context, id string, move httpapi.MoveRequest) (httpapi.Run, error) {
	return send[httpapi.Run](ctx, c, http.MethodPost, move, "v1", "runs", id, "move")
}

// Edit replaces a run's object. It returns the run as it then is.
func (c *Client) Edit(ctx context.Context, id string, edit httpapi.EditRequest) (httpapi.Run, error) {
	return send[httpapi.Run](ctx, c, http.MethodPut, edit, "v1", "runs", id, "object")
}

// Bulk does one page of a bulk action.
func (c *Client) Bulk(ctx context.Context, bulk httpapi.BulkRequest) (httpapi.BulkResult, error) {
	return send[httpapi.BulkResult](ctx, c, http.MethodPost, bulk, "v1", "runs", "bulk")
}

// Callback is outside input for a run, which RunID names, or else Workflow and ForeignID.
type Callback struct {
	Workflow, ForeignID string
	RunID               string
	Status              string        // the status in which the run takes it
	Payload             []byte        // as it is
	IdempotencyKey      string        // empty: none
	Wait                time.Duration // how long to wait until it is handled
}

// Callback hands outside input to a run. An answer that is pending says that it is durable and not handled yet.
func (c *Client) Callback(ctx context.Context, call Callback) (httpapi.CallbackResult, error) {
	path := []string{"v1", "workflows", call.Workflow, "callbacks", call.Status, call.ForeignID}
	if call.RunID != "" {
		path = []string{"v1", "runs", call.RunID, "callbacks", call.Status}
	}
	if call.Payload == nil {
		call.Payload = []byte{}
	}
	var answer httpapi.CallbackResult
	_, err := c.do(ctx, request{
		method: http.MethodPost, path: path, query: url.Values{"wait": {call.Wait.String()}}, body: call.Payload, key: call.IdempotencyKey,
	}, &answer)
	return answer, err
}

// send sends a document and returns the one that answers it.
func send[T any](ctx context.Context, c *Client, method string, body any, path ...string) (T, error) {
	var answer T
	_, err := c.do(ctx, request{method: method, path: path, body: body}, &answer)
	return answer, err
}
