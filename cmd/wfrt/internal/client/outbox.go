package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// Outbox returns what waits to be published.
func (c *Client) Outbox(ctx context.Context) (httpapi.Outbox, error) {
	return get[httpapi.Outbox](ctx, c, nil, "v1", "outbox")
}

// ParkedEvents returns a page of the events that Kafka refused.
func (c *Client) ParkedEvents(ctx context.Context, query url.Values) (httpapi.ParkedEventPage, error) {
	return get[httpapi.ParkedEventPage](ctx, c, query, "v1", "outbox", "parked")
}

// RedriveEvent publishes one of them again.
func (c *Client) RedriveEvent(ctx context.Context, id string) (httpapi.ParkedEvent, error) {
	var out httpapi.ParkedEvent
	_, err := c.do(ctx, request{
		method: http.MethodPost, path: []string{"v1", "outbox", "parked", "redrive"}, query: url.Values{"id": {id}},
	}, &out)
	return out, err
}
