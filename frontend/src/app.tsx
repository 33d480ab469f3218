import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Failed, Loading } from "./async";
import { Export } from "./export";
import { Extra, extras } from "./extra";
import { helpOpen, useKeys } from "./keys";
import { bring, PageOf, TITLES } from "./pages";
import { RunPicker } from "./run_picker";
import { index, indexError, refresh, runs, showView, tag, view, VIEWS } from "./state";
import { StepBar } from "./step_bar";
import { TagPicker } from "./tag_picker";

/** Milliseconds until what may be opened next is brought. */
const WHEN_IDLE = 1000;

function Tabs(): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = VIEWS.indexOf(view.value);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: VIEWS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = VIEWS[(to + VIEWS.length) % VIEWS.length] ?? "overview";
    showView(next);
    list.current?.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
  };
  return (
    // eslint-disable-next-line jsx-a11y/interactive-supports-focus -- focus stands on the tabs, keys bubble
    <div role="tablist" aria-label="Views" class="tabs" ref={list} onKeyDown={onKeyDown}>
      {VIEWS.map((which) => (
        <button
          key={which}
          type="button"
          role="tab"
          id={`tab-${which}`}
          aria-selected={view.value === which}
          aria-controls="page"
          tabIndex={view.value === which ? 0 : -1}
          onClick={() => showView(which)}
          onPointerEnter={() => bring(which)}
        >
          {TITLES[which]}
        </button>
      ))}
    </div>
  );
}

function Stale(): JSX.Element | null {
  if (!indexError.value || !index.value) return null;
  return (
    <p class="notice" role="status">
      <span>No live update: {indexError.value}</span>
      <button type="button" onClick={() => void refresh()}>
        Retry
      </button>
    </p>
  );
}

function Content(): JSX.Element {
  if (!index.value && indexError.value)
    return <Failed what="What is logged" error={indexError.value} retry={() => void refresh()} />;
  if (!index.value) return <Loading what="what is logged" />;
  if (!runs.value.some((run) => run.tags.length))
    return <Extra what="what is logged">{({ EmptyPage }) => <EmptyPage />}</Extra>;
  const which = view.value;
  if (which !== "overview" && !tag.value)
    return <Extra what={TITLES[which].toLowerCase()}>{({ NothingHere }) => <NothingHere which={which} />}</Extra>;
  return <PageOf key={which} which={which} />;
}

export function App(): JSX.Element {
  useKeys();
  useEffect(() => {
    document.title = `Explanations: ${TITLES[view.value]}`;
  }, [view.value]);
  const asked = index.value !== null;
  useEffect(() => {
    if (!asked) return;
    const timer = setTimeout(extras.bring, WHEN_IDLE);
    return () => clearTimeout(timer);
  }, [asked]);
  return (
    <>
      <header class="top">
        <h1>Explanations</h1>
        <Tabs />
        <div class="tools">
          <RunPicker />
          <Export />
          <button
            type="button"
            class="quiet"
            aria-label="Keys and help"
            title="Keys and help (?)"
            onClick={() => (helpOpen.value = true)}
          >
            ?
          </button>
        </div>
      </header>
      <Stale />
      {index.value && index.value.skipped.length > 0 && (
        <Extra what="what is not shown" waiting={null}>
          {({ SkippedNotice }) => <SkippedNotice />}
        </Extra>
      )}
      <main>
        <div id="page" class="page" role="tabpanel" aria-labelledby={`tab-${view.value}`}>
          {tag.value && (
            <div class="bar">
              <TagPicker />
              <StepBar />
            </div>
          )}
          <Content />
        </div>
      </main>
      {helpOpen.value && (
        <Extra what="the help" waiting={null}>
          {({ Help }) => <Help />}
        </Extra>
      )}
    </>
  );
}
