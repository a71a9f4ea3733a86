package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// Connectors returns the connectors.
func (c *Client) Connectors(ctx context.Context) (httpapi.ConnectorList, error) {
	return get[httpapi.ConnectorList](ctx, c, nil, "v1", "connectors")
}

// Parked returns a page of a connector's parked messages.
func (c *Client) Parked(ctx context.Context, connector string, query url.Values) (httpapi.ParkedPage, error) {
	return get[httpapi.ParkedPage](ctx, c, query, "v1", "connectors", connector, "parked")
}

// Redrive has a parked message tried again.
func (c *Client) Redrive(ctx context.Context, m *httpapi.ParkedMessage) error {
	_, err := c.do(ctx, request{method: http.MethodPost, path: append(parkedPath(m), "redrive")}, nil)
	return err
}

// DropParked drops a parked message.
func (c *Client) DropParked(ctx context.Context, m *httpapi.ParkedMessage) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: parkedPath(m)}, nil)
	return err
}

func parkedPath(m *httpapi.ParkedMessage) []string {
	return []string{
		"v1", "connectors", m.Connector, "parked", m.TopicID, strconv.Itoa(int(m.Partition)), strconv.FormatInt(m.Offset, 10),
	}
}
