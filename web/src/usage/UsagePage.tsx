import { useState } from 'react'
import { useAgents } from '../agents/queries.ts'
import type { UsageReport, UsageRow } from '../api/types.ts'
import { EmptyState } from '../ui/EmptyState.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { dimensions, useUsage, type Dimension } from './queries.ts'

const usd = new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD', maximumFractionDigits: 4 })

export function UsagePage() {
  const [by, setBy] = useState<Dimension>('day')
  const report = useUsage(by)
  return (
    <>
      <PageHeader title="Usage">
        <label className="flex items-center gap-2 text-sm">
          <span className="text-muted">by</span>
          <select
            value={by}
            onChange={(e) => setBy(e.target.value as Dimension)}
            className="min-h-9 rounded-lg border border-line bg-surface px-2"
          >
            {dimensions.map((d) => (
              <option key={d}>{d}</option>
            ))}
          </select>
        </label>
      </PageHeader>
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-4">
          {report.isPending && <p className="text-muted">Loading…</p>}
          {report.error && <ProblemNotice error={report.error} onRetry={() => void report.refetch()} />}
          {report.data && <Report report={report.data} by={by} />}
        </div>
      </div>
    </>
  )
}

function Report({ report, by }: { report: UsageReport; by: Dimension }) {
  const agents = useAgents()
  if (report.total.executions === 0) {
    return (
      <EmptyState title="Nothing used yet">
        <p>
          No execution has ended from {report.from} to {report.to}.
        </p>
      </EmptyState>
    )
  }
  const agentName = (id: string) => agents.data?.find((agent) => agent.id === id)?.name ?? id
  const nameOf = (row: UsageRow): string => {
    switch (by) {
      case 'day':
        return row.day ?? ''
      case 'agent':
        return row.agentId === undefined ? 'agent builder' : agentName(row.agentId)
      case 'model':
        return row.model ?? 'no model'
      case 'label':
        return row.label ?? ''
    }
  }
  const costs = report.total.costUsd > 0
  const size = ({ counts }: UsageRow) => (costs ? counts.costUsd : counts.executions)
  const largest = Math.max(...report.rows.map(size))
  return (
    <>
      <p className="text-sm text-muted">
        {report.from} to {report.to} (UTC): {report.total.executions.toLocaleString()} executions,{' '}
        {(report.total.inputTokens + report.total.outputTokens).toLocaleString()} tokens,{' '}
        {usd.format(report.total.costUsd)}
      </p>
      {report.warnings.map((warning) => (
        <p
          key={`${warning.day} ${warning.level} ${warning.agentId ?? ''} ${warning.limitUsd}`}
          role="status"
          className="rounded-xl border border-line bg-soft px-4 py-2.5 text-sm"
        >
          {warning.day}:{' '}
          {warning.agentId === undefined ? (
            'the daily budget'
          ) : (
            <>
              agent{' '}
              <TextLink to={{ page: 'agent', id: warning.agentId }}>{agentName(warning.agentId)}</TextLink>
            </>
          )}{' '}
          reached {usd.format(warning.limitUsd)}
          {warning.level === 'hard' ? '; nothing more starts on that day' : ''}
        </p>
      ))}
      <table className="w-full border-collapse rounded-xl border border-line bg-surface text-sm">
        <thead>
          <tr className="label-small text-left">
            <th className="px-4 py-2 font-normal">{by}</th>
            <th className="px-4 py-2 text-right font-normal">executions</th>
            <th className="px-4 py-2 text-right font-normal">tokens</th>
            <th className="px-4 py-2 text-right font-normal">cost</th>
          </tr>
        </thead>
        <tbody>
          {report.rows.map((row) => (
            <tr key={nameOf(row)} className="border-t border-line">
              <td className="px-4 py-2">
                <span className="block break-all">{nameOf(row)}</span>
                <progress
                  aria-hidden
                  max={largest}
                  value={size(row)}
                  className="progress-bar mt-1 h-1 w-full"
                />
              </td>
              <td className="px-4 py-2 text-right tabular-nums">{row.counts.executions.toLocaleString()}</td>
              <td className="px-4 py-2 text-right tabular-nums">
                {(row.counts.inputTokens + row.counts.outputTokens).toLocaleString()}
              </td>
              <td className="px-4 py-2 text-right tabular-nums">{usd.format(row.counts.costUsd)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  )
}
