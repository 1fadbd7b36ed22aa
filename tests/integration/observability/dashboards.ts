// The types that a dashboard's JSON has to have, from Grafana's own. An enum of theirs is here the union of its values, as JSON has no enums.
import { AnnotationQuery, Dashboard, Panel, RowPanel, VariableModel } from '@grafana/schema';
import * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = T extends string
  ? string extends T ? string : `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}` ? N : never
    : T extends boolean | null | undefined ? T
      : T extends Array<infer U> ? Array<Plain<U>>
        : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

interface Target {
  refId: string;
  datasource: { type: 'prometheus'; uid: string };
  expr: string;
  legendFormat: string;
  range: boolean;
  instant: boolean;
  format: 'time_series' | 'table' | 'heatmap';
}

type Of<Kind extends string, Options, Field> = Omit<Plain<Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Kind;
  options: Plain<Options>;
  fieldConfig: {
    defaults: Omit<NonNullable<Plain<Panel>['fieldConfig']>['defaults'], 'custom'> & { custom?: Plain<Field> };
    overrides: never[];
  };
  targets: Target[];
};

export type OurPanel =
  | Plain<RowPanel>
  | Of<'stat', stat.Options, never>
  | Of<'table', table.Options, table.FieldConfig>
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>;

// Grafana's schema leaves open what a data source adds to an annotation.
type Annotation = Plain<AnnotationQuery> & { expr: string; titleFormat: string; textFormat: string };

export type Ours = Omit<Plain<Dashboard>, 'panels' | 'templating' | 'annotations'> & {
  panels: OurPanel[];
  templating: { list: Plain<VariableModel>[] };
  annotations: { list: Annotation[] };
};
