package monitoring

import (
	"encoding/json"
	"fmt"
)

// The parts of Grafana's JSON model that the dashboard uses. See docs/decisions/0139-dashboards-from-structs.md.
type (
	grafanaDashboard struct {
		UID           string            `json:"uid"`
		Title         string            `json:"title"`
		Description   string            `json:"description"`
		Tags          []string          `json:"tags"`
		SchemaVersion int               `json:"schemaVersion"`
		Version       int               `json:"version"`
		Editable      bool              `json:"editable"`
		Refresh       string            `json:"refresh"`
		Time          map[string]string `json:"time"`
		Templating    struct {
			List []grafanaVariable `json:"list"`
		} `json:"templating"`
		Panels []grafanaPanel `json:"panels"`
	}
	grafanaVariable struct {
		Name  string `json:"name"`
		Label string `json:"label"`
		Type  string `json:"type"`
		Query string `json:"query"`
	}
	grafanaPanel struct {
		ID          int                 `json:"id"`
		Type        string              `json:"type"`
		Title       string              `json:"title"`
		Description string              `json:"description,omitempty"`
		GridPos     grafanaPosition     `json:"gridPos"`
		Datasource  *grafanaDatasource  `json:"datasource,omitempty"`
		FieldConfig *grafanaFieldConfig `json:"fieldConfig,omitempty"`
		Options     map[string]any      `json:"options,omitempty"`
		Targets     []grafanaTarget     `json:"targets,omitempty"`
	}
	grafanaPosition struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	grafanaDatasource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	grafanaFieldConfig struct {
		Defaults  grafanaDefaults `json:"defaults"`
		Overrides []any           `json:"overrides"`
	}
	grafanaDefaults struct {
		Unit   Unit           `json:"unit"`
		Custom map[string]any `json:"custom"`
	}
	grafanaTarget struct {
		RefID        string            `json:"refId"`
		Datasource   grafanaDatasource `json:"datasource"`
		Expr         string            `json:"expr"`
		LegendFormat string            `json:"legendFormat"`
	}
)

// Panels are laid out in three columns of Grafana's 24.
const (
	panelWidth  = 8
	panelHeight = 8
	gridWidth   = 24
)

// Grafana returns the dashboard as Grafana imports it. Whoever imports it chooses the data source.
func Grafana() ([]byte, error) {
	source := grafanaDatasource{Type: "prometheus", UID: "${datasource}"}
	d := grafanaDashboard{UID: "resnet18cloud", Title: "ResNet18Cloud", Tags: []string{"resnet18cloud"}, SchemaVersion: 39, Version: 1,
		Description: "Made by monitoring/dashboard.go. It needs the recording rules of monitoring/prometheus.",
		Editable:    true, Refresh: "30s", Time: map[string]string{"from": "now-1h", "to": "now"}}
	d.Templating.List = []grafanaVariable{{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"}}
	y := 0
	add := func(p grafanaPanel) {
		p.ID = len(d.Panels) + 1
		d.Panels = append(d.Panels, p)
	}
	for _, row := range Dashboard() {
		add(grafanaPanel{Type: "row", Title: row.Title, GridPos: grafanaPosition{H: 1, W: gridWidth, Y: y}})
		y++
		for i, p := range row.Panels {
			x := i * panelWidth % gridWidth
			if i > 0 && x == 0 {
				y += panelHeight
			}
			add(p.grafana(source, grafanaPosition{H: panelHeight, W: panelWidth, X: x, Y: y}))
		}
		y += panelHeight
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write dashboard: %w", err)
	}
	return append(data, '\n'), nil
}

// grafana returns the panel in Grafana's form.
func (p Panel) grafana(source grafanaDatasource, at grafanaPosition) grafanaPanel {
	g := grafanaPanel{Type: "timeseries", Title: p.Title, Description: p.Help, GridPos: at, Datasource: &source,
		FieldConfig: &grafanaFieldConfig{Defaults: grafanaDefaults{Unit: p.Unit, Custom: map[string]any{"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}}, Overrides: []any{}},
		Options: map[string]any{"legend": map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"}},
	}
	for i, q := range p.Queries {
		g.Targets = append(g.Targets, grafanaTarget{RefID: string(rune('A' + i)), Datasource: source, Expr: q.Expr, LegendFormat: q.Legend})
	}
	return g
}
