import { useState } from 'react'
import type { TenantState } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { formatCount, formatSettings } from './format.ts'
import { usePause, useTenants } from './queries.ts'
import { Cell, Table } from './Table.tsx'

export function TenantsView() {
  const [waiting, setWaiting] = useState(false)
  const tenants = useTenants(waiting)
  return (
    <>
      {tenants.error && <ProblemNotice error={tenants.error} onRetry={() => void tenants.refetch()} />}
      <Table
        title="Tenants"
        columns={['Name', 'State', 'Waiting', 'Running', 'Batches waiting', 'Batches running', 'Limits', '']}
        action={
          <label className="flex items-center gap-2 text-sm">
            <input type="checkbox" checked={waiting} onChange={(event) => setWaiting(event.target.checked)} />
            Only with waiting work
          </label>
        }
      >
        {tenants.data?.tenants.map((tenant) => (
          <TenantRow key={tenant.id} tenant={tenant} />
        ))}
        {tenants.data?.tenants.length === 0 && (
          <tr>
            <Cell>{waiting ? 'No work waits for a slot.' : 'None has settings or work that waited.'}</Cell>
          </tr>
        )}
      </Table>
      {tenants.data?.nextCursor !== undefined && (
        <p className="text-sm text-muted">
          Only the first {tenants.data.tenants.length}; airlock tenants list shows all.
        </p>
      )}
    </>
  )
}

function TenantRow({ tenant: { id, settings, work } }: { tenant: TenantState }) {
  const pause = usePause(id)
  return (
    <tr>
      <Cell>{id}</Cell>
      <Cell>{settings.paused ? <span className="text-danger">Paused</span> : 'Active'}</Cell>
      <Cell>{formatCount(work.waiting.interactive, work)}</Cell>
      <Cell>{formatCount(work.running.interactive, work)}</Cell>
      <Cell>{formatCount(work.waiting.batch, work)}</Cell>
      <Cell>{formatCount(work.running.batch, work)}</Cell>
      <Cell>{formatSettings(settings) || 'Defaults'}</Cell>
      <Cell>
        <Button
          disabled={pause.isPending}
          aria-label={`${settings.paused ? 'Resume' : 'Pause'} ${id}`}
          onClick={() => pause.mutate(!settings.paused)}
        >
          {settings.paused ? 'Resume' : 'Pause'}
        </Button>
        {pause.error && <ProblemNotice error={pause.error} />}
      </Cell>
    </tr>
  )
}
