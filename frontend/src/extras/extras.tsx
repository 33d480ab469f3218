/** What the shell can be seen without. */
import { adopt } from "../style";
import css from "./extras.css?inline";

adopt(css);

export { EmptyPage, NothingHere, SkippedNotice } from "./empty";
export { Help } from "./help";
export { RunList } from "./run_list";
export { TagSearch } from "./tag_search";
