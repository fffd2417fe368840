import { signOut, useSession } from '../session/session.ts'
import { Button } from '../ui/Button.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ExecutorsView } from './ExecutorsView.tsx'
import { StatusView } from './StatusView.tsx'
import { TenantsView } from './TenantsView.tsx'

/** What the operator sees: the parts of the installation, executors and tenants. It shows no data of tenants. */
export function OperatorPage() {
  return (
    <>
      <PageHeader title="Operator" />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-5xl flex-col gap-6">
          <StatusView />
          <ExecutorsView />
          <TenantsView />
        </div>
      </div>
    </>
  )
}

/** The whole page of a caller who is the operator and no tenant. */
export function OperatorShell() {
  const session = useSession()
  return (
    <main className="flex h-dvh flex-col">
      <OperatorPage />
      {session.key !== undefined && (
        <footer className="border-t border-line px-4 py-2">
          <Button look="plain" onClick={signOut}>
            Sign out
          </Button>
        </footer>
      )}
    </main>
  )
}
