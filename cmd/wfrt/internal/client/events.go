package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// EventQuery selects events.
type EventQuery struct {
	After     string   // begin behind this cursor; "": with the oldest event that is kept; "latest": behind the newest
	Follow    bool     // wait for more
	Workflows []string // of these workflows; empty: all
}

// Event is an event and the cursor behind it.
type Event struct {
	httpapi.Event
	Cursor string `json:"cursor"`
}

// maxEvent is the longest line of a stream that is read.
const maxEvent = 4 << 20

// Events calls yield for each event, and moves q.After past it. It returns nil at the end of a stream that does not follow, and
// yield's error as soon as that is not nil. When the stream breaks it returns *UnreachableError; the same q goes on where it was.
func (c *Client) Events(ctx context.Context, q *EventQuery, yield func(*Event) error) error {
	query := url.Values{"follow": {strconv.FormatBool(q.Follow)}}
	for _, w := range q.Workflows {
		query.Add("workflow", w)
	}
	if q.After != "" {
		query.Set("after", q.After)
	}
	response, err := c.send(ctx, request{path: []string{"v1", "events"}, query: query, accept: "text/event-stream"})
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	var kind string
	var data []byte
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			q.After = string(value)
		case "event":
			kind = string(value)
		case "data":
			data = append(data, value...)
		case "": // a blank line ends an event; a comment begins with the colon
			if len(lines.Bytes()) > 0 || len(data) == 0 {
				continue
			}
			if err := dispatch(kind, data, q.After, yield); err != nil {
				return err
			}
			kind, data = "", data[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return c.unreachable(ctx, err)
	}
	if q.Follow {
		return c.unreachable(ctx, errEnded)
	}
	return nil
}

var errEnded = errors.New("the stream of events has ended")

// dispatch hands one event on; one of the kind error is a problem of the server's.
func dispatch(kind string, data []byte, cursor string, yield func(*Event) error) error {
	if kind == "error" {
		p := &httpapi.Problem{Status: http.StatusInternalServerError}
		if err := json.Unmarshal(data, p); err != nil {
			return fmt.Errorf("client: the stream ended with %.200s", data)
		}
		return p
	}
	event := Event{Cursor: cursor}
	if err := json.Unmarshal(data, &event.Event); err != nil {
		return fmt.Errorf("client: an event is not understood: %w", err)
	}
	return yield(&event)
}
