import type { Environment } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { Disclosure } from '../ui/Disclosure.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Timestamp } from '../ui/Timestamp.tsx'
import { useEnvironmentVersions } from './queries.ts'

/** The versions of an environment, the newest first, each with what changed. */
export function EnvironmentVersions({ environment }: { environment: Environment }) {
  return (
    <Disclosure summary={<span className="text-sm text-muted">Version {environment.version}</span>}>
      <VersionList environment={environment} />
    </Disclosure>
  )
}

function VersionList({ environment: { id, version: newest } }: { environment: Environment }) {
  const versions = useEnvironmentVersions(id, newest)
  const pages = versions.data?.pages ?? []
  return (
    <>
      {versions.error && <ProblemNotice error={versions.error} onRetry={() => void versions.refetch()} />}
      <ul aria-label="Versions" className="flex flex-col gap-1">
        {pages
          .flatMap((page) => page.versions)
          .map(({ version, changed, createdAt }) => (
            <li key={version} className="flex justify-between gap-4 text-sm">
              <span className="text-verbatim">
                {version}: {changed === undefined ? 'created' : `changed ${changed.join(', ')}`}
              </span>
              <span className="text-muted">
                <Timestamp iso={createdAt} />
              </span>
            </li>
          ))}
      </ul>
      {versions.hasNextPage && (
        <Button disabled={versions.isFetchingNextPage} onClick={() => void versions.fetchNextPage()}>
          Show older versions
        </Button>
      )}
    </>
  )
}
